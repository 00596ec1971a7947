//! The state file: what is written is read, and nothing else is.

use super::*;
use crate::sys::fs::SystemFiles;

fn state() -> State {
    let mut dirty = PageSet::default();
    for page in [1, 2, 3, 17, u32::MAX >> 8] {
        dirty.insert(PageNumber::new(page).unwrap());
    }
    State {
        inode: 1_048_602,
        position: WalPosition {
            salts: Salts([0x8d, 0x3d, 0x75, 0xce, 0, 0, 0, 1]),
            frame: FrameNumber(412),
            checksum: WalChecksum([0x5f2a_00c1, 7]),
            pages: PageCount(1204),
        },
        under_way: Vec::new(),
        destinations: vec![DestinationState {
            location: "file:///back up/app".to_string(),
            acked: Mark {
                txid: Txid::new(66).unwrap(),
                time: Timestamp::from_millis(-5),
            },
            levels: vec![
                LevelState {
                    level: Level::new(1).unwrap(),
                    last: Txid::new(60).unwrap(),
                    pages: Some(dirty.clone()),
                },
                LevelState {
                    level: Level::new(2).unwrap(),
                    last: Txid::new(2).unwrap(),
                    pages: None,
                },
            ],
            sums: Some(SumsState {
                on_disk: OnDisk {
                    at: Mark {
                        txid: Txid::new(55).unwrap(),
                        time: Timestamp::from_millis(-9),
                    },
                    changed: dirty.clone(),
                },
                pages: PageCount(1204),
            }),
            dirty,
            under_way: true,
        }],
    }
}

fn at(location: &str) -> [String; 1] {
    [location.to_string()]
}

fn parse_state(text: &str) -> Option<State> {
    parse(text).of(1_048_602, &at("file:///back up/app"))
}

#[test]
fn what_was_saved_is_loaded() {
    let meta = std::env::temp_dir().join(format!("state-{}", crate::sys::random::unique()));
    let file = StateFile::new(Arc::new(SystemFiles), &meta);
    assert_eq!(file.load(), Remembered::Nothing);
    file.save_under_way().unwrap();
    assert_eq!(file.load(), Remembered::UnderWay);
    for durability in [Durability::Process, Durability::Power] {
        let mut state = state();
        if durability == Durability::Power {
            state.destinations[0].dirty = PageSet::default();
            state.destinations[0].under_way = false;
            state.destinations[0].levels.pop();
            state.destinations[0].sums = None;
        }
        file.save(&state, durability).unwrap();
        assert_eq!(file.load(), Remembered::At(state));
    }
    std::fs::remove_dir_all(meta).unwrap();
}

#[test]
fn a_torn_or_damaged_state_is_none() {
    let text = state().to_text();
    for length in 0..text.len() {
        assert_eq!(
            parse(&text[..length]),
            Remembered::Nothing,
            "cut to {length}"
        );
    }
    for at in 0..text.len() {
        let mut damaged = text.clone().into_bytes();
        damaged[at] ^= 1;
        let damaged = String::from_utf8(damaged).unwrap();
        assert_eq!(parse(&damaged), Remembered::Nothing, "flipped at {at}");
    }
}

#[test]
fn a_location_with_a_line_break_stays_itself() {
    let mut state = state();
    state.destinations[0].location = "file:///a\nb".to_string();
    let read = parse(&state.to_text());
    assert!(read.is_under_way("file:///a\nb"));
    assert!(read.of(1_048_602, &at("file:///a\nb")).is_some());
}

#[test]
fn a_state_counts_for_its_own_database_and_replica_alone() {
    let text = state().to_text();
    assert_eq!(parse_state(&text), Some(state()));
    assert_eq!(parse(&text).of(1_048_603, &at("file:///back up/app")), None);
    assert_eq!(parse(&text).of(1_048_602, &at("file:///elsewhere")), None);
    assert!(parse(&text).is_under_way("file:///back up/app"));
    assert!(!parse(&text).is_under_way("file:///elsewhere"));
}

#[test]
fn each_destination_is_remembered_by_itself() {
    let mut both = state();
    let mut second = both.destinations[0].clone();
    second.location = "s3://bucket/app".to_string();
    second.acked.txid = Txid::new(1066).unwrap();
    second.under_way = false;
    second.levels.pop();
    both.destinations.push(second.clone());
    both.under_way = at("s3://other/new replica").to_vec();
    let text = both.to_text();
    assert_eq!(parse(&text), Remembered::At(both.clone()));
    let locations = [at("s3://bucket/app"), at("s3://other/new replica")].concat();
    let of_both = parse(&text).of(1_048_602, &locations).unwrap();
    assert_eq!(of_both.destinations, [second]);
    assert_eq!(of_both.destination("s3://other/new replica"), None);
    for (location, under_way) in [
        ("file:///back up/app", true),
        ("s3://bucket/app", false),
        ("s3://other/new replica", true),
        ("s3://other/new", false),
    ] {
        assert_eq!(parse(&text).is_under_way(location), under_way, "{location}");
    }
}

#[test]
fn a_state_without_levels_and_sums_is_still_understood() {
    let mut state = state();
    state.destinations[0].levels.clear();
    state.destinations[0].sums = None;
    let text = state.to_text();
    assert!(!text.contains("level") && !text.contains("sums"));
    assert_eq!(parse_state(&text), Some(state));
}

#[test]
fn a_level_or_sums_with_too_much_to_write_down_are_left_out() {
    let mut state = state();
    let mut pages = PageSet::default();
    for page in 0..=RUNS_MAX as u32 {
        pages.insert(PageNumber::new(1 + 2 * page).unwrap());
    }
    state.destinations[0].levels[0].pages = Some(pages.clone());
    state.destinations[0].sums.as_mut().unwrap().on_disk.changed = pages;
    let read = parse_state(&state.to_text()).unwrap();
    assert_eq!(
        read.destinations[0].levels,
        state.destinations[0].levels[1..]
    );
    assert_eq!(read.destinations[0].sums, None);
}

#[test]
fn a_scattered_set_is_written_as_a_larger_one_that_fits() {
    let mut state = state();
    let mut pages = PageSet::default();
    // A million pages apart, in pairs that are nearer each other.
    for index in 0..1_000_000_u32 {
        pages.insert(PageNumber::new(1 + 2000 * (index / 2) + 3 * (index % 2)).unwrap());
    }
    for destination in &mut state.destinations {
        destination.dirty = pages.clone();
        for level in &mut destination.levels {
            level.pages = Some(pages.clone());
        }
    }
    let text = state.to_text();
    assert!(text.len() < 2 << 20, "{}", text.len());
    let read = parse_state(&text).unwrap();
    let dirty = &read.destinations[0].dirty;
    assert!(pages.iter().all(|page| dirty.contains(page)));
}

#[test]
fn the_nearest_pages_are_joined_first() {
    let page = |number| PageNumber::new(number).unwrap();
    let runs = vec![(page(1), page(2)), (page(5), page(5)), (page(90), page(95))];
    let joined = vec![(page(1), page(5)), (page(90), page(95))];
    assert_eq!(at_most(3, runs.clone()), runs);
    assert_eq!(at_most(2, runs.clone()), joined);
    assert_eq!(at_most(1, runs), [(page(1), page(95))]);
}

proptest::proptest! {
    #[test]
    fn no_sealed_text_panics(
        wal in "(file [0-9]{0,22}\n)?(wal [0-9a-f -]{0,60}\n)?",
        replica in "(replica 0{15}[0-9a-f] [0-9]{1,20} [0-9]{1,6}(-[0-9]{0,6})?(,-?)? x\n)?",
        level in "(level [0-9]{0,2} 0{15}[0-9a-f]( all| [0-9]{1,6}(-[0-9]{0,6})?)?\n)?",
        sums in "(sums 0{15}[0-9a-f] [0-9]{1,20} [0-9]{1,12}( none| [0-9]{1,6}(-[0-9]{0,6})?)?\n)?",
        end in "((quiet|under way|under way x)\n)?",
    ) {
        let one = format!("{replica}{level}{sums}{end}");
        let text = format!("{FIRST_LINE}\n{wal}{one}{one}");
        let _ = parse(&seal(text));
    }
}
