//! What means harm: packs, overlays, fleet files, host trees, and places where a secret might be seen.
//!
//! Here the program itself is run, over directories that somebody prepared, with no more than 256 MiB of memory for
//! itself; what needs a finer tool is shown by another suite. `refused` means: said in one line that names the thing,
//! a code other than 0, and no byte of a host changed. The table says which test shows what; `every_line_names_a_test`
//! follows it, by files below `tests/`, or below `src/` where it says so.
//!
//! | What comes in | Tests |
//! | --- | --- |
//! | **Packs** | |
//! | links: absolute, out of the tree, into the state directory, as part of a path | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::links_that_leave` `source/hostile_packs::one_name_twice` |
//! | components: dots, empty, absolute, whatever git takes for `.git`, the state directory | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::names_that_escape_or_hide` `source/hostile_packs::an_empty_name_is_never_read` |
//! | names: no UTF-8, control characters, longer than 255 bytes | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::names_that_escape_or_hide` |
//! | letter case, unless the pack allows it; both are named | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::letter_case_names_both` |
//! | submodules, other modes, LFS pointers | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::modes` `source/hostile_packs::content_that_is_elsewhere` |
//! | a directory that is missing, empty or none | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::nothing_to_install` |
//! | tags: on a file, moved since recorded, moved since locked | `hostile/packs::a_source_that_fails_leaves_the_last_good_tree` `stories::lock` |
//! | too many, too large, too deep, too long; trees that name each other | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `source/hostile_packs::bombs_are_cut_short` `source/hostile_packs::one_file_is_large_alone` `source/hostile_packs::many_long_names` |
//! | odd but honest: dangling links, empty files, exec bits, attributes, quotes, dashes; exactly | `hostile/packs::odd_packs_arrive_exactly` `source/hostile_packs::odd_but_honest_packs_are_served_exactly` |
//! | files, directories and links that become each other, and back | `hostile/packs::odd_packs_arrive_exactly` `host/contract::kinds_change_into_each_other` |
//! | an object, a fetch, a ref or a listing that fails: held, nothing pruned | `hostile/packs::a_source_that_fails_leaves_the_last_good_tree` `source/git::an_origin_without_refs_is_an_error_and_takes_nothing_away` `source/hostile_packs::a_missing_object_is_an_error_and_nothing_is_left_out` |
//! | memory | `hostile/packs::what_is_refused_leaves_the_last_good_tree` `crash/memory::large_files_cost_no_memory` |
//! | **Overlays** | |
//! | headers of another file, made or removed files, links, modes, renames, binary patches | `hostile/overlays::what_is_not_exact_is_held` `src/merge/patch_tests::what_is_no_patch_of_the_file_is_refused` |
//! | counts that are wrong, hunks that overlap or go back | `hostile/overlays::what_is_not_exact_is_held` `src/merge/patch_tests::numbers_must_fit` |
//! | repeated text: the header's place or none; two places, or no place, after a carry | `hostile/overlays::what_is_not_exact_is_held` `src/merge/patch_tests::hunks_lie_where_they_say_or_nowhere` `src/desired/lay_tests::patches` |
//! | line ends, and a last line without one, are bytes | `hostile/overlays::what_is_not_exact_is_held` `src/merge/patch_tests::hunks_lie_where_they_say_or_nowhere` |
//! | a second application | `hostile/overlays::what_is_not_exact_is_held` `src/merge/patch_tests::a_second_application_is_recognised` |
//! | keys: twice, too deep, invalid on either side; aliases, for YAML is not merged at all | `hostile/overlays::what_is_not_exact_is_held` `src/merge/structured/structured_tests::what_cannot_be_merged_is_refused` |
//! | numbers, comments and order of what is not touched | `hostile/overlays::what_is_not_exact_is_held` `src/merge/structured/structured_tests::json_keeps_what_it_does_not_touch` `src/merge/structured/structured_tests::toml_keeps_what_it_does_not_touch` |
//! | files that map nowhere, lead out, are no files, are behind a link | `hostile/overlays::overlays_reach_nowhere_else` `src/desired/overlay_tests::what_is_refused` |
//! | **The fleet file** | |
//! | unknown keys, wrong types, names given twice, like paths or like options; all at once | `hostile/fleet::every_problem_is_told_with_its_place_and_nothing_is_applied` `fleet_file::every_problem_is_found_and_placed` |
//! | roots: `/`, relative elsewhere, in each other | `hostile/fleet::every_problem_is_told_with_its_place_and_nothing_is_applied` `fleet_file::every_problem_is_found_and_placed` |
//! | ranges that nothing satisfies | `hostile/fleet::every_problem_is_told_with_its_place_and_nothing_is_applied` `src/desired/choose_tests::what_is_said_instead` |
//! | circles, named whole; dependencies on nobody; two packs on one path | `hostile/fleet::every_problem_is_told_with_its_place_and_nothing_is_applied` `fleet_file::a_deployment_does_not_wait_for_itself` |
//! | 10 MiB, nesting without end, conflict markers | `hostile/fleet::every_problem_is_told_with_its_place_and_nothing_is_applied` `fleet_file::what_is_too_much_is_refused_in_time` |
//! | what lies beside it: beneath its directory, through no link, no FIFO | `hostile/fleet::nothing_is_read_through_a_planted_link` `hostile/overlays::overlays_reach_nowhere_else` |
//! | a commit of it that is more paths than there is time for | `hostile/fleet::a_fleet_repository_without_end_is_given_up` |
//! | **Agents and webhooks** | |
//! | lengths, cuts, order, banners, wrong blobs, replays, peers that never read or never end | `host/stream::nonsense_is_refused_with_its_reason` `host/stream::a_session_that_ends_anywhere_leaves_the_old` `host/stream::a_session_works_however_its_bytes_are_cut` `host/stream::what_a_shell_prints_before_is_passed_over` `host/stream::a_broken_agent_is_named_and_ends_the_session` `host/stream::a_peer_that_never_reads_or_never_speaks_costs_bounded_time` `host/stream::what_was_said_to_one_host_does_nothing_on_another` |
//! | signatures, bodies, repetition, floods, no secret | `page/webhooks::missing_wrong_short_and_doubled_signatures_are_refused` `page/webhooks::endless_chunks_are_cut_off_in_flat_memory` `page/webhooks::compressed_and_other_bodies_are_refused_unread` `page/webhooks::a_good_signature_over_nonsense_is_refused` `page/webhooks::the_same_delivery_twice_is_ignored` `page/webhooks::a_thousand_good_ones_and_a_good_one_among_bad_ones` `page/webhooks::without_a_secret_webhooks_are_off` |
//! | **Host trees** | |
//! | a link planted before or during a switch | `crash/disk::a_link_planted_between_plan_and_apply_leads_nowhere` `crash/races::somebody_reaches_into_an_upgrade` |
//! | FIFOs, sockets, devices; entries of nobody, whatever their names | `hostile/tree::what_is_no_file_is_named_and_never_opened` `crash/hostile::odd_neighbours_are_left_alone` |
//! | hard links | `crash/disk::what_is_not_in_the_plan_keeps_its_inode_and_a_hard_link_its_bytes` |
//! | immutable and append-only files; mounts in the tree and for the stage | `crash/disk::what_cannot_be_switched_is_found_before_anything_is_touched` `crash/weather::a_mount_in_the_tree_is_found_before_anything_is_touched` `crash/weather::a_state_directory_on_another_mount_is_found_before_anything_is_touched` |
//! | a file that changes while it is read | `crash/hostile::a_file_that_grows_while_it_is_read_is_busy` |
//! | other bytes with the same size and time; looks that trust nothing, now and then | `crash/disk::the_stat_cache_saves_reading_and_hides_no_change` `src/host/cache::every_field_counts_and_the_moment_does_not_vouch_for_itself` `src/daemon/queue_tests::timers_look_at_everything_and_distrust_the_cache` |
//! | clocks that jump | `crash/hostile::a_clock_that_jumps_back_changes_no_order` |
//! | damaged state: the way out is named; nothing in it is run | `hostile/tree::damaged_state_names_the_way_out` `crash/disk::damaged_state_is_told_and_nothing_is_touched` |
//! | owners and modes that forbid it | `crash/hostile::without_the_right_to_change_it_nothing_is_touched` |
//! | another user's private file keeps owner, group, mode, list and attributes | `hostile/tree::a_private_file_of_another_user_stays_as_private` `crash/disk::attributes_and_access_lists_are_kept_and_never_widened` |
//! | a state directory that is a link, another's, too open or of another deployment | `crash/disk::a_state_directory_that_is_not_ours_is_refused` `crash/disk::a_state_directory_that_was_copied_elsewhere_is_refused` `host/contract::another_fleets_state_is_refused` |
//! | **Secrets** | |
//! | in a source's URL, a webhook's secret, a host's own file, an edit, an overlay, a pack | `hostile/secrets::no_channel_shows_one` `stories::secrets` `stories::secrets_in_files` |
//! | on the page, in metrics, in messages | `page/whole::what_happens_on_a_host_is_shown_and_told_and_secrets_are_not` |
//! | in problems and snippets of the fleet file, in errors of git | `fleet_file::no_problem_and_no_snippet_shows_a_secret` `source/git::no_error_shows_a_password` |

#[path = "hostile/fleet.rs"]
mod fleet;
#[path = "hostile/overlays.rs"]
mod overlays;
#[path = "hostile/packs.rs"]
mod packs;
#[path = "source/repository.rs"]
#[expect(dead_code, reason = "the contract of sources needs more of it")]
mod repository;
#[path = "hostile/secrets.rs"]
mod secrets;
#[path = "hostile/tree.rs"]
mod tree;
#[path = "hostile/world.rs"]
mod world;

/// A test that was renamed or taken out takes its line with it.
#[test]
fn every_line_names_a_test() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::fs::read_to_string(top.join("tests/hostile.rs")).expect("this file");
    let lines = own.lines().filter(|line| line.starts_with("//! |") && !line.starts_with("//! | **"));
    let (mut named, mut missing) = (0, Vec::new());
    for line in lines.skip(2) {
        let tests: Vec<&str> = line.split('`').filter(|word| word.contains("::")).collect();
        assert!(!tests.is_empty(), "{line} names no test");
        for test in tests {
            let (file, name) = test.split_once("::").expect("a test");
            let file =
                if file.starts_with("src/") { format!("{file}.rs") } else { format!("tests/{file}.rs") };
            let text = std::fs::read_to_string(top.join(&file)).unwrap_or_default();
            // A story's test is one word in a list.
            let is_there = text.contains(&format!("#[test]\nfn {name}()"))
                || text.contains(&format!("    #[test]\n    fn {name}()"))
                || file == "tests/stories.rs" && text.contains(&format!("\n    {name}\n"));
            named += 1;
            missing.extend((!is_there).then_some(test));
        }
    }
    assert!(
        missing.is_empty() && named > 60,
        "{named} tests are named, and these are not there: {missing:?}"
    );
}
