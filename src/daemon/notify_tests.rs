//! Messages over sequences of Views: one when it begins, one when it ends, whatever happens between.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn deployed(name: &str, sync: Standing, why: &str) -> Deployed {
    Deployed {
        name: name.to_owned(),
        host: String::new(),
        root: String::new(),
        location: None,
        labels: Vec::new(),
        observed: false,
        absent: false,
        sync,
        health: Fare::Unknown,
        since: at(0),
        seen: None,
        settled: None,
        generation: None,
        packs: Vec::new(),
        edits: 0,
        here_only: None,
        edits_in: Vec::new(),
        stage: None,
        depends_on: Vec::new(),
        why: why.to_owned(),
        reasons: Vec::new(),
        drift: Vec::new(),
        drifted: 0,
        host_errors: 0,
        failures: 0,
    }
}

fn view(deployments: Vec<Deployed>) -> View {
    let mut view = View::new("c", at(0));
    view.fleet = Some("f".to_owned());
    view.deployments = deployments;
    view
}

fn held(names: &[&str]) -> View {
    view(names.iter().map(|name| deployed(name, Standing::Held, "a.txt: line 1")).collect())
}

fn fine(names: &[&str]) -> View {
    view(names.iter().map(|name| deployed(name, Standing::InSync, "")).collect())
}

fn told(notices: &mut Notices, second: i64) -> Vec<String> {
    notices.due(at(second)).into_iter().map(|message| message.text).collect()
}

#[test]
fn a_cause_is_told_once_over_all_hosts_when_it_begins_and_when_it_ends() {
    let mut notices = Notices::default();
    notices.see(&held(&["e1", "e2"]), at(0));
    assert!(told(&mut notices, 0).is_empty());
    notices.see(&held(&["e1", "e2", "e3"]), at(2));
    assert_eq!(told(&mut notices, 5), ["held on e1..3: a.txt: line 1"]);
    for second in 6..20 {
        notices.see(&held(&["e1", "e2", "e3"]), at(second));
        assert!(told(&mut notices, second).is_empty());
    }
    assert!(!notices.waits());
    notices.see(&fine(&["e1", "e2", "e3"]), at(20));
    assert!(notices.waits() && told(&mut notices, 21).is_empty());
    assert_eq!(told(&mut notices, 41), ["over: held on e1..3: a.txt: line 1"]);
    assert!(!notices.waits() && told(&mut notices, 9999).is_empty());
}

#[test]
fn a_restart_repeats_nothing() {
    let mut notices = Notices::default();
    notices.see(&held(&["a"]), at(0));
    assert_eq!(told(&mut notices, 5).len(), 1);
    let stored = serde_json::to_string(&notices).unwrap();
    let mut notices: Notices = serde_json::from_str(&stored).unwrap();
    // Nothing is known at first.
    notices.see(&View::new("c", at(6)), at(6));
    notices.see(&view(vec![deployed("a", Standing::Unknown, "")]), at(7));
    assert!(told(&mut notices, 60).is_empty());
    notices.see(&held(&["a"]), at(61));
    assert!(told(&mut notices, 700).is_empty());
}

#[test]
fn what_comes_and_goes_is_told_at_most_so_often() {
    let mut notices = Notices::default();
    let mut messages = 0;
    for minute in 0..60 {
        notices.see(&held(&["a"]), at(minute * 60));
        messages += told(&mut notices, minute * 60 + 5).len();
        notices.see(&fine(&["a"]), at(minute * 60 + 6));
        messages += told(&mut notices, minute * 60 + 30).len();
    }
    assert!((2..=14).contains(&messages), "{messages} messages in an hour");
}

#[test]
fn hosts_that_follow_are_told_together_and_late() {
    let mut notices = Notices::default();
    notices.see(&held(&["e1"]), at(0));
    assert_eq!(told(&mut notices, 5).len(), 1);
    notices.see(&held(&["e1", "e2", "e3"]), at(60));
    assert!(told(&mut notices, 61).is_empty() && notices.waits());
    assert_eq!(told(&mut notices, 605), ["held on e2, 3, too: a.txt: line 1"]);
}

#[test]
fn many_causes_at_once_are_one_message() {
    let mut notices = Notices::default();
    let many = (0..50).map(|n| deployed(&format!("e{n:02}"), Standing::Held, &format!("file-{n}: line 1")));
    notices.see(&view(many.collect()), at(0));
    let messages = told(&mut notices, 5);
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("e00..49") && messages[0].contains("49 more causes"), "{messages:?}");
}

#[test]
fn a_host_that_does_not_answer_ends_nothing() {
    let mut notices = Notices::default();
    notices.see(&held(&["a"]), at(0));
    assert_eq!(told(&mut notices, 5).len(), 1);
    notices.see(&view(vec![deployed("a", Standing::Offline, "a cannot be reached")]), at(6));
    assert!(told(&mut notices, 100).is_empty());
    notices.see(&fine(&["a"]), at(101));
    assert_eq!(told(&mut notices, 130), ["over: held on a: a.txt: line 1"]);
}

#[test]
fn a_change_that_was_taken_back_is_one_cause_from_then_on() {
    let mut notices = Notices::default();
    let one = |sync, why: &str| {
        let mut one = deployed("a", sync, why);
        one.packs = vec![super::super::view::PackShown {
            pack: "slack".into(),
            wanted: Some("1.2.0".into()),
            ..Default::default()
        }];
        view(vec![one])
    };
    notices.see(&one(Standing::Unhealthy, "found unhealthy: http: 500"), at(0));
    assert_eq!(told(&mut notices, 5), ["rolled back on a: found unhealthy: http: 500"]);
    notices.see(&one(Standing::Rejected, "what fleet.toml gives was rolled back here"), at(6));
    assert!(told(&mut notices, 700).is_empty());
    let over = one(Standing::InSync, "");
    notices.see(&over, at(701));
    let messages = notices.due(at(730));
    assert_eq!((messages[0].topic, messages[0].ends), (Topic::Recovered, Some(Topic::RolledBack)));
}

#[test]
fn a_fleet_file_that_is_not_in_force_is_told() {
    let mut notices = Notices::default();
    let mut broken = fine(&["a"]);
    broken.problems = vec![super::super::view::Problem {
        file: "fleet.toml".into(),
        line: Some(1),
        message: "no such pack".into(),
        hint: None,
        about: About::FleetFile,
    }];
    notices.see(&broken, at(0));
    assert_eq!(
        told(&mut notices, 5),
        [
            "failed on the fleet: the newest fleet.toml is not in force: no such pack\nnext: packfleet validate"
        ]
    );
}

#[test]
fn a_name_that_is_a_letter_or_a_word_changes_no_text() {
    let names: Vec<String> = ('a'..='n').map(String::from).collect();
    let why = "bot/prompt.md: line 2 was changed";
    let mut notices = Notices::default();
    notices.see(&view(names.iter().map(|name| deployed(name, Standing::Held, why)).collect()), at(0));
    let messages = told(&mut notices, 5);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].ends_with(why), "{messages:?}");
    // Named in its own sentence, each has the same cause nevertheless.
    let away = |name: &str| deployed(name, Standing::Failed, &format!("{name}: no space is left"));
    let mut notices = Notices::default();
    notices.see(&view(vec![away("e1"), away("e12")]), at(0));
    assert_eq!(told(&mut notices, 5), ["failed on e1, 12: e1: no space is left"]);
}

#[test]
fn many_ends_at_once_are_one_message() {
    let names: Vec<String> = (0..50).map(|n| format!("e{n:02}")).collect();
    let many = names.iter().map(|name| deployed(name, Standing::Held, &format!("file-{name}.txt: line 1")));
    let mut notices = Notices::default();
    notices.see(&view(many.collect()), at(0));
    assert_eq!(told(&mut notices, 5).len(), 1);
    notices.see(&fine(&names.iter().map(String::as_str).collect::<Vec<_>>()), at(10));
    let messages = notices.due(at(40));
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!((messages[0].topic, messages[0].ends), (Topic::Recovered, Some(Topic::Held)));
    let text = &messages[0].text;
    assert!(text.starts_with("over: held on e00..49: file-e00.txt") && text.contains("49 more"), "{text}");
}

#[test]
fn what_is_wrong_with_the_controller_says_nothing_of_the_fleet_file() {
    let mut notices = Notices::default();
    let mut mute = fine(&["a"]);
    mute.problems = vec![super::super::view::Problem {
        file: "fleet.toml".into(),
        line: None,
        message: "notify: the variable TEAM is not set".into(),
        hint: Some("set it".into()),
        about: About::Controller,
    }];
    notices.see(&mute, at(0));
    assert_eq!(
        told(&mut notices, 5),
        ["failed on the controller: notify: the variable TEAM is not set\nnext: set it"]
    );
}
