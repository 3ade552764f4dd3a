//! A network in training under one phase of a plan, and its way from phase to phase.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use burn::tensor::{Bytes, Device};
use regraft_freeze::Phase;
use regraft_nn::{Dropout, Network, Precision, Weights};
use regraft_onnx::{Graph, OutputKind};

use crate::averager::Averager;
use crate::error::Error;
use crate::feature_store::Drawn;
use crate::learner::{Gradients, Learner};
use crate::objective::{Objective, Target};
use crate::optimizer;
use crate::settings::Settings;
use crate::state_dict::StateDict;

/// What a session is about: the network and how it is trained.
#[derive(Clone)]
pub struct SessionOptions {
    /// The network with its pretrained values.
    pub graph: Arc<Graph>,
    /// Dropout in training.
    pub dropout: Vec<Dropout>,
    /// Optimiser, clipping, smoothing and the rest.
    pub settings: Settings,
    /// What computes.
    pub device: Device,
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("dropout", &self.dropout)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A network in training: a [`StateDict`] under one phase of a plan.
///
/// [`Session::enter`] goes on to another phase: values stay, the optimiser's state of parameters that go on training stays,
/// and that of parameters which open anew starts fresh.
///
/// ```no_run
/// # fn main() -> Result<(), regraft_train::Error> {
/// # let (options, phases, features): (regraft_train::SessionOptions, Vec<regraft_freeze::Phase>, _) = todo!();
/// use regraft_train::{Session, Target};
///
/// let mut session = Session::new(options, &phases[0])?;
/// let gradients = session.learner().gradients(features, &[Target::Class(1)], 1.0, 0)?;
/// session.learner_mut().apply(gradients, 0.01);
/// let mut session = session.enter(&phases[1])?;
/// let trained = session.values()?;
/// # Ok(())
/// # }
/// ```
pub struct Session {
    options: SessionOptions,
    /// Values that phases before this one have changed.
    before: StateDict,
    learner: Learner,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("options", &self.options)
            .field("learner", &self.learner)
            .finish_non_exhaustive()
    }
}

/// Values of a session, by canonical name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// What training has changed, in this phase and those before.
    pub state: StateDict,
    /// The running mean of weights, and the steps that it has taken in.
    pub average: Option<(usize, StateDict)>,
}

impl Values {
    /// The values as they would be written: with averaged weights where those are kept.
    pub fn written(&self) -> Cow<'_, StateDict> {
        match &self.average {
            None => Cow::Borrowed(&self.state),
            Some((_, average)) => {
                let mut written = self.state.clone();
                written.extend(average.clone());
                Cow::Owned(written)
            }
        }
    }
}

/// All of a session that a file has to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedSession {
    /// Weights and statistics.
    pub values: Values,
    /// The optimiser's record, as Burn writes it; empty: a fresh optimiser.
    pub optimizer: Vec<u8>,
}

impl Session {
    /// Begins with the pretrained values.
    ///
    /// # Errors
    /// When the phase belongs to another network, or the device has not the precision asked for.
    pub fn new(options: SessionOptions, phase: &Phase) -> Result<Self, Error> {
        Self::resume(options, phase, SavedSession::default())
    }

    /// Goes on under `phase` with what was saved, in this phase or an earlier one.
    ///
    /// # Errors
    /// As [`Session::new`], and when what was saved belongs to another network.
    pub fn resume(
        options: SessionOptions,
        phase: &Phase,
        saved: SavedSession,
    ) -> Result<Self, Error> {
        let precision = match options.settings.trunk_precision {
            regraft_spec::Precision::F32 => Precision::F32,
            regraft_spec::Precision::Bf16 => Precision::Bf16,
        };
        let Values { mut state, average } = saved.values;
        let (mut network, start) = network(&options, &state, phase, precision)?;
        let pull = options.settings.l2_sp;
        let (mut optimizer, finite) = optimizer::build(&options.settings.optimizer, phase);
        if !saved.optimizer.is_empty() {
            optimizer = optimizer
                .from_bytes(Bytes::from_bytes_vec(saved.optimizer))
                .map_err(|error| Error::OptimizerState {
                    reason: error.to_string(),
                })?;
            // A parameter that rests in this phase starts fresh when it opens again.
            optimizer = optimizer::forget_resting(optimizer, &options.settings.optimizer, phase);
        }
        let averager = match options.settings.averaging() {
            None => None,
            Some(averaging) => {
                let mut averager = Averager::new(averaging, &network);
                if let Some((steps, mean)) = average {
                    // What rested in the phase of the mean is in the state alone.
                    let mut values = state.above(&network);
                    values.extend(mean.above(&network));
                    averager.restore(&mut network, steps, values.values())?;
                }
                Some(averager)
            }
        };
        // What the network holds itself is not kept twice.
        state.retain(|name| !network.changes(name));
        Ok(Self {
            before: state,
            learner: Learner {
                network,
                optimizer,
                finite,
                averager,
                averages: true,
                anchor: (pull > 0.0).then_some((start, pull)),
                objective: match options.graph.output_kind {
                    OutputKind::SeveralClasses => Objective::BinaryCrossEntropy,
                    _ => Objective::CrossEntropy {
                        smoothing: options.settings.label_smoothing,
                        class_weights: options.settings.class_weights.clone(),
                    },
                },
                grad_clip: options.settings.grad_clip,
                device: options.device.clone(),
            },
            options,
        })
    }

    /// Goes on to another phase of the plan. The old phase's network goes before the new one comes.
    ///
    /// # Errors
    /// As [`Session::resume`].
    pub fn enter(mut self, phase: &Phase) -> Result<Self, Error> {
        let saved = self.save()?;
        let options = self.options;
        drop(self.learner);
        Self::resume(options, phase, saved)
    }

    /// What a file needs for [`Session::resume`].
    ///
    /// # Errors
    /// When the device fails to hand values back, or the optimiser's state is not finite.
    pub fn save(&mut self) -> Result<SavedSession, Error> {
        Ok(SavedSession {
            values: self.values()?,
            optimizer: self.optimizer_record()?.to_vec(),
        })
    }

    /// Every value that training has changed so far, in this phase and those before.
    ///
    /// # Errors
    /// When the device fails to hand them back.
    pub fn values(&mut self) -> Result<Values, Error> {
        let mut state = self.before.clone();
        state.extend(StateDict::of(&self.learner.network)?);
        let average = match &self.learner.averager {
            Some(averager) if averager.steps() > 0 => {
                let steps = averager.steps();
                let mean = self.learner.as_written(|network| StateDict::of(network))?;
                Some((steps, mean))
            }
            _ => None,
        };
        Ok(Values { state, average })
    }

    /// The optimiser's state, as Burn writes it.
    ///
    /// # Errors
    /// When a number of it is not finite.
    pub fn optimizer_record(&self) -> Result<Bytes, Error> {
        let record = self.learner.optimizer.into_bytes();
        let record = record.map_err(|error| Error::OptimizerState {
            reason: error.to_string(),
        })?;
        if !self.learner.finite.take() {
            return Err(Error::OptimizerNotFinite);
        }
        Ok(record)
    }

    /// What takes the steps.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// What takes the steps.
    pub fn learner_mut(&mut self) -> &mut Learner {
        &mut self.learner
    }

    /// The network as it now is.
    pub fn network(&self) -> &Network {
        &self.learner.network
    }

    /// The graph with its pretrained values.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.options.graph
    }

    /// The network, out of the session.
    pub fn into_network(self) -> Network {
        self.learner.network
    }

    /// Gradients of a batch with a target for each of its images, computed in as many parts as the settings say. `noise`
    /// decides the dropout masks.
    pub(crate) fn gradients(
        &self,
        batch: Drawn,
        targets: &[Target],
        noise: u64,
    ) -> Result<Gradients, Error> {
        let total = self.learner.objective.total(targets);
        let mut rest = targets;
        let mut parts = Vec::new();
        for (part, drawn) in batch
            .split(self.options.settings.micro_batches)
            .into_iter()
            .enumerate()
        {
            let (targets, others) = rest.split_at(drawn.labels().len());
            rest = others;
            let features = drawn.features(&self.learner.network)?;
            // Each part drops other units.
            let noise = noise ^ (part as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
            let gradients = self.learner.gradients(features, targets, total, noise)?;
            let finite = gradients.loss.is_finite();
            parts.push(gradients);
            if !finite {
                break;
            }
        }
        self.learner.sum(parts).ok_or(Error::NoImages)
    }

    /// The network of this session with its trunk in full precision.
    pub(crate) fn exact(&mut self, phase: &Phase) -> Result<Network, Error> {
        let values = self.values()?;
        Ok(network(&self.options, &values.state, phase, Precision::F32)?.0)
    }
}

/// The network as a phase has it, with the values of `state`, and its weights without them.
fn network(
    options: &SessionOptions,
    state: &StateDict,
    phase: &Phase,
    precision: Precision,
) -> Result<(Network, Weights), Error> {
    let cut = regraft_nn::cut_of(&options.graph, phase)?;
    let graph = state.below(&options.graph, cut);
    let mut network =
        Network::in_precision(graph, phase, &options.dropout, &options.device, precision)?;
    let start = network.weights().clone();
    let above = state.above(&network);
    if !above.is_empty() {
        network.restore(above.values())?;
    }
    Ok((network, start))
}
