//! From one phase to the next: values stay, and so does the optimiser's state of what goes on training.

use regraft_freeze::Policy;
use regraft_spec::Optimizer;
use regraft_train::{SavedSession, Session, Settings};

use crate::{batch, features, options, phases, sgd};

fn step(session: &mut Session) -> std::collections::BTreeMap<String, Vec<f32>> {
    let (_, _, targets) = batch(8);
    let features = features(session, 0..8);
    let gradients = session
        .learner()
        .gradients(features, &targets, 8.0, 0)
        .unwrap();
    let values = session.learner().values(&gradients).unwrap();
    session.learner_mut().apply(gradients, 0.01);
    values
}

#[test]
fn momentum_of_what_goes_on_training_is_carried_over_and_what_opens_starts_fresh() {
    let phases = phases(&[
        (Policy::FeatureExtractor, Some(1)),
        (Policy::LastBlocks(1), None),
    ]);
    assert_ne!(phases[0].frozen_blocks, phases[1].frozen_blocks);
    let mut session = Session::new(options(sgd()), &phases[0]).unwrap();
    let first = [step(&mut session), step(&mut session)];
    let mut session = session.enter(&phases[1]).unwrap();
    let before = session.values().unwrap().state;
    let gradients = step(&mut session);
    let after = session.values().unwrap().state;
    let mut opened = 0;
    for (name, gradient) in &gradients {
        let (old, new) = (before.get(name).unwrap(), after.get(name).unwrap());
        for (index, g) in gradient.iter().enumerate() {
            // v2 = 0.9 g1 + g2, v3 = 0.9 v2 + g3; a fresh velocity is the gradient.
            let velocity = match first[0].get(name) {
                Some(g1) => 0.9 * (0.9 * g1[index] + first[1][name][index]) + g,
                None => *g,
            };
            let expected = old[index] - 0.01 * velocity;
            let near = (new[index] - expected).abs() < 1e-6;
            assert!(near, "{name}[{index}]: {} and {expected}", new[index]);
        }
        opened += usize::from(!first[0].contains_key(name));
    }
    assert!(opened > 4, "layers have opened");
    assert!(gradients.contains_key("head.fc.weight"));
}

#[test]
fn what_rests_in_a_phase_starts_fresh_when_it_opens_again() {
    let phases = phases(&[
        (Policy::LastBlocks(1), Some(1)),
        (Policy::FeatureExtractor, Some(1)),
        (Policy::LastBlocks(1), None),
    ]);
    let mut session = Session::new(options(sgd()), &phases[0]).unwrap();
    step(&mut session);
    let mut session = session.enter(&phases[1]).unwrap();
    step(&mut session);
    let mut session = session.enter(&phases[2]).unwrap();
    let before = session.values().unwrap().state;
    let gradients = step(&mut session);
    let after = session.values().unwrap().state;
    let name = gradients
        .keys()
        .find(|name| name.starts_with("layer4") && name.contains("conv"))
        .unwrap();
    let (old, new) = (before.get(name).unwrap(), after.get(name).unwrap());
    let moved = old.iter().zip(new).zip(&gradients[name]);
    for ((old, new), g) in moved {
        assert!((new - (old - 0.01 * g)).abs() < 1e-6, "{name}");
    }
}

/// A trunk below the cut is that of the values trained before, not the pretrained one.
#[test]
fn layers_that_trained_and_rest_again_keep_what_they_learned() {
    let phases = phases(&[
        (Policy::LastBlocks(2), Some(1)),
        (Policy::FeatureExtractor, None),
    ]);
    let mut session = Session::new(options(sgd()), &phases[0]).unwrap();
    for _ in 0..3 {
        step(&mut session);
    }
    let logits = |session: &Session| {
        let features = features(session, 0..4);
        let logits = session.network().logits(features).unwrap();
        regraft_nn::Activation::R2(logits).into_values().unwrap()
    };
    let whole = logits(&session);
    let values = session.values().unwrap();
    let mut session = session.enter(&phases[1]).unwrap();
    let cut = logits(&session);
    let largest = whole.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (a, b) in whole.iter().zip(&cut) {
        assert!((a - b).abs() <= 1e-4 * largest, "{a} and {b}");
    }
    assert_eq!(session.values().unwrap(), values);
    let fresh = Session::new(options(sgd()), &phases[1]).unwrap();
    assert_ne!(logits(&fresh), cut);
}

#[test]
fn averaged_weights_keep_what_an_earlier_phase_learned() {
    let phases = phases(&[
        (Policy::LastBlocks(1), Some(1)),
        (Policy::FeatureExtractor, Some(1)),
        (Policy::NormOnly, None),
    ]);
    let settings = Settings { ema: 0.9, ..sgd() };
    let mut session = Session::new(options(settings), &phases[0]).unwrap();
    let trained = step(&mut session);
    let mut session = session.enter(&phases[1]).unwrap();
    step(&mut session);
    let mut session = session.enter(&phases[2]).unwrap();
    let state = session.values().unwrap().state;
    let averaged = session
        .learner_mut()
        .as_written(|network| network.rest_values().unwrap());
    let convolutions = trained.keys().filter(|name| name.contains(".conv"));
    let mut rested = 0;
    for name in convolutions {
        assert_eq!(averaged[name], state.get(name).unwrap(), "{name}");
        rested += 1;
    }
    assert!(rested > 1);
}

#[test]
fn a_saved_session_goes_on_as_if_it_had_never_stopped() {
    let phase = &phases(&[(Policy::LastBlocks(1), None)])[0];
    let optimizers = [
        sgd().optimizer,
        Optimizer::adamw(),
        Optimizer::lion(),
        Optimizer::lamb(),
    ];
    for optimizer in optimizers {
        let settings = Settings {
            ema: 0.9,
            optimizer,
            ..sgd()
        };
        let mut whole = Session::new(options(settings.clone()), phase).unwrap();
        step(&mut whole);
        let saved: SavedSession = whole.save().unwrap();
        let before = whole.values().unwrap();
        step(&mut whole);
        let mut resumed = Session::resume(options(settings), phase, saved).unwrap();
        step(&mut resumed);
        assert_eq!(whole.values().unwrap(), resumed.values().unwrap());
        assert_ne!(whole.values().unwrap(), before);
    }
}
