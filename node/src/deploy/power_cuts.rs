//! The power fails at every step there is; what a start then finds is all old or all new.

use super::room::{Room, apply, differences, fill, listing};
use super::sample::Sample;
use super::*;

/// The samples 1.0 to 3.0, the first two of them applied, and the third staged.
fn about_to_apply(room: &Room, samples: &[Sample; 3]) -> (Deployment, Staging) {
    room.remove_home();
    let mut deployment = room.open();
    apply(&mut deployment, &samples[0]);
    apply(&mut deployment, &samples[1]);
    let mut staging = deployment.stage(samples[2].release.clone()).unwrap();
    fill(&mut staging, &samples[2]);
    (deployment, staging)
}

/// After a cut and a start: the old release or the new one, whole, and nothing lost or left over.
fn check_old_or_new(room: &Room, samples: &[Sample; 3]) -> bool {
    let names = samples.each_ref().map(|sample| tree_name(&sample.release));
    let mut deployment = room.open();
    let is_new = deployment.current() == Some(&names[2]);
    let [previous, current] = if is_new { [1, 2] } else { [0, 1] };
    assert_eq!(deployment.current(), Some(names[current].as_str()));
    assert_eq!(deployment.previous(), Some(names[previous].as_str()));
    for sample in [&samples[previous], &samples[current]] {
        assert_eq!(differences(&deployment.tree(&sample.release).unwrap().unwrap()), []);
    }
    let own = ["./current", "./previous", "./releases", "./staging"].map(str::to_owned);
    let releases = [previous, current].map(|at| format!("releases/{}", names[at]));
    let staged = (!is_new).then(|| format!("staging/{}", names[2]));
    assert_eq!(listing(&room.home()), own.into_iter().chain(releases).chain(staged).collect::<Vec<_>>());
    if !is_new {
        // Nothing that was stored is fetched again.
        let staging = deployment.stage(samples[2].release.clone()).unwrap();
        let applied = deployment.apply(staging, Authority::of_process()).unwrap();
        assert_eq!(differences(&applied.tree), []);
    }
    is_new
}

#[test]
fn power_fails_at_every_step_of_an_apply() {
    let room = Room::new();
    let samples = [1, 2, 3].map(|number| room.release(number));
    let mut outcomes = Vec::new();
    for steps in 0.. {
        let (mut deployment, staging) = about_to_apply(&room, &samples);
        power::cut_after(steps);
        let applied = deployment.apply(staging, Authority::of_process());
        if !power::restore() {
            applied.unwrap();
            break;
        }
        drop(deployment);
        // The power fails again while the start repairs.
        power::cut_after(steps % 7);
        let _ = Deployment::open(&room.home());
        power::restore();
        outcomes.push(check_old_or_new(&room, &samples));
    }
    // Once the switch is made, it stays made.
    assert!(outcomes.is_sorted() && outcomes.contains(&false) && outcomes.contains(&true), "{outcomes:?}");
}

#[test]
fn power_fails_at_every_step_of_a_staging() {
    let room = Room::new();
    let sample = room.release(1);
    for steps in 0.. {
        room.remove_home();
        let mut deployment = room.open();
        power::cut_after(steps);
        if let Ok(mut staging) = deployment.stage(sample.release.clone()) {
            for (chunk, index) in sample.chunks.iter().zip(0..) {
                let _ = staging.write(index, chunk);
            }
            let _ = staging.sync();
        }
        let struck = power::restore();
        drop(deployment);
        let tree = apply(&mut room.open(), &sample);
        assert_eq!(differences(&tree), []);
        if !struck {
            break;
        }
    }
}

#[test]
fn power_fails_at_every_step_of_dropping_the_previous_release() {
    let room = Room::new();
    let samples = [1, 2, 3].map(|number| room.release(number));
    let names = samples.each_ref().map(|sample| tree_name(&sample.release));
    for steps in 0.. {
        let (mut deployment, _) = about_to_apply(&room, &samples);
        power::cut_after(steps);
        let _ = deployment.drop_previous();
        let struck = power::restore();
        let reopened = room.open();
        assert_eq!(reopened.current(), Some(names[1].as_str()));
        assert!(reopened.previous().is_none_or(|previous| previous == names[0]));
        assert_eq!(reopened.staged().unwrap(), [names[2].as_str()]);
        if let Some(tree) = reopened.tree(&samples[0].release).unwrap() {
            assert_eq!(differences(&tree), []);
        }
        if !struck {
            assert_eq!(reopened.previous(), None);
            break;
        }
    }
}
