//! An sshd of the tests' own, which lets the user in who runs them.
//!
//! It runs as the far end of a `ProxyCommand`: no port, no daemon that could outlive the tests, keys of its own. Its host
//! is called `place`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Keys and configuration of an sshd that lets this user in.
pub struct Sshd {
    pub directory: tempfile::TempDir,
}

impl Sshd {
    /// `None`, and the reason, where it cannot run. `extra` goes into its configuration.
    pub fn new(extra: &str) -> Result<Self, String> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() {
            return Err("there is no /usr/sbin/sshd".to_owned());
        }
        let user = Command::new("id").arg("-un").output().map_err(|error| error.to_string())?;
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        let privileges = Path::new("/run/sshd");
        if user == "root" && !privileges.exists() && fs::create_dir(privileges).is_err() {
            return Err("there is no /run/sshd".to_owned());
        }
        let directory = tempfile::Builder::new().prefix("pf").tempdir().map_err(|error| error.to_string())?;
        gone_with_this_process(directory.path());
        let at = |name: &str| directory.path().join(name);
        for key in ["host", "key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key))
                .status();
            if !made.is_ok_and(|status| status.success()) {
                return Err("there is no ssh-keygen".to_owned());
            }
        }
        fs::copy(at("key.pub"), at("authorized_keys")).expect("a copy");
        let host = fs::read_to_string(at("host.pub")).expect("a key");
        fs::write(at("known_hosts"), format!("place {host}")).expect("a file");
        let here = directory.path().display();
        let server = format!(
            "HostKey {here}/host\nAuthorizedKeysFile {here}/authorized_keys\nUsePAM no\nStrictModes no\n\
             PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv XDG_CACHE_HOME={here}/cache\n{extra}\n"
        );
        fs::write(at("sshd_config"), server).expect("a file");
        let client = format!(
            "Host place\n  HostKeyAlias place\n  User {user}\n  IdentityFile {here}/key\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {here}/known_hosts\n  StrictHostKeyChecking yes\n  \
             ProxyCommand {} -i -f {here}/sshd_config -E {here}/log\n",
            sshd.display()
        );
        fs::write(at("ssh_config"), client).expect("a file");
        Ok(Self { directory })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Removes a directory when this process ends, however it ends: what a `static` owns is never dropped.
pub fn gone_with_this_process(directory: &Path) {
    let script = "read -r _; rm -rf -- \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(directory);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // The other end of its input closes with this process.
    std::mem::forget(shell.spawn().expect("sh").stdin);
}
