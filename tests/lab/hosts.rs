//! The lab itself: its hosts are what the other scenarios take them for.

use crate::machine::USERS;
use crate::world::{World, until};

/// A host answers, does not while its cable is out, and comes back from a crash with its disk and nothing else.
pub fn machines(world: &World) {
    let [one, two] = &world.machines[..] else { panic!("two machines") };
    assert_eq!(one.says("hostname"), one.name);
    assert_eq!(one.says("systemctl is-active lab.target"), "active");
    for (user, id) in USERS {
        let output = one.ssh(user, "id -u");
        assert!(String::from_utf8_lossy(&output.stdout).ends_with(&format!("{id}\n")), "{user}: {output:?}");
    }
    let greeted = one.ssh("noisy", "true");
    assert!(String::from_utf8_lossy(&greeted.stdout).contains("welcome"), "{greeted:?}");
    assert_eq!(one.says("sudo -u crew sudo -n id -u"), "0");
    until("crew's own systemd runs", || {
        one.ssh("crew", "XDG_RUNTIME_DIR=/run/user/4000 systemctl --user show -p Version").status.success()
    });

    one.cut();
    assert!(!one.ssh("root", "true").status.success());
    assert_eq!(two.says("hostname"), two.name);
    one.heal();
    until("the cable carries", || one.ssh("root", "true").status.success());

    one.says("echo kept > /srv/kept; echo gone > /run/gone; systemd-run -q sleep 1000");
    let boot = one.says("cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1");
    one.crash();
    assert!(!one.is_running());
    assert_eq!(two.says("hostname"), two.name);
    one.boot();
    one.wait();
    assert_eq!(one.says("cat /srv/kept; test ! -e /run/gone && echo new"), "kept\nnew");
    assert_ne!(one.says("cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1"), boot);
}
