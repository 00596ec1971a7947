//! Every file of some replicas truncated, flipped or deleted: the proof of a state says what a restore of it would, and
//! the check of all files finds each damage.

use crate::ltx::vectors::{manifest, text};
use crate::restore::damage::{REPLICAS, attempt, damages};
use crate::restore::vectors::{files, targets};
use crate::support::memory::Memory;
use walbrook::restore::{Class, Part, Target, check_part, left, prove};
use walbrook::storage::FileName;

#[test]
fn a_proof_is_what_a_restore_would_be() {
    let (mut whole, mut refused, mut kept, mut found) = (0, 0, 0, 0);
    let all = Part::parse("1/1").unwrap();
    for replica in manifest("replicas") {
        if !REPLICAS[..3].contains(&text(&replica["name"])) {
            continue;
        }
        let good: Vec<(FileName, i64, Vec<u8>)> = files(&replica).collect();
        let storage = Memory::holding(good.iter().cloned());
        let states: Vec<Target> = targets(&replica).iter().map(|state| state.0).collect();
        for (name, _, bytes) in &good {
            for damaged in damages(bytes).into_iter().step_by(3) {
                let gone = damaged.is_none();
                storage.set(*name, damaged);
                for target in states.iter().take(5) {
                    let proof = prove(&storage, *target, &mut |_| ());
                    let restored = attempt(&storage, *target);
                    let Err(error) = proof else {
                        assert!(restored.is_ok(), "{name} {target:?} {restored:?}");
                        whole += 1;
                        continue;
                    };
                    refused += 1;
                    if error.class() != Class::Damaged {
                        assert!(restored.is_err(), "{name} {target:?} {error}");
                        continue;
                    }
                    // What a restore still gives is what is said to be left.
                    let left = left(&storage, *target, &mut |_| ());
                    let is_same = left.is_some_and(|left| left.is_same);
                    assert_eq!(is_same, restored.is_ok(), "{name} {target:?} {error}");
                    if let Some(left) = left {
                        let target = Target::Txid(left.report.txid);
                        assert!(attempt(&storage, target).is_ok(), "{name} {target:?}");
                        kept += 1;
                    }
                }
                if !gone {
                    let checked = check_part(&storage, all, &mut |_| ()).unwrap();
                    let blamed = checked.damaged.iter().map(ToString::to_string);
                    let named: Vec<_> =
                        blamed.filter(|it| it.contains(&name.to_string())).collect();
                    assert_eq!((named.len(), checked.damaged.len()), (1, 1), "{name}");
                    found += 1;
                }
                storage.set(*name, Some(bytes.clone()));
            }
        }
    }
    println!("{whole} whole, {refused} refused, of {kept} something left, {found} found");
    assert!(
        whole > 100 && refused > 100 && kept > 100 && found > 100,
        "{whole} {refused} {kept} {found}"
    );
}
