//! Values of a network by canonical name, independent of any cut, phase and device.

use std::collections::HashMap;
use std::sync::Arc;

use regraft_nn::Network;
use regraft_onnx::Graph;

use crate::error::Error;

/// What training has changed of a network: trained parameters and updated running statistics, by canonical name.
///
/// Everything that is not in it is as the graph has it. It outlives cuts, phases and devices.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict(HashMap<String, Vec<f32>>);

impl StateDict {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The values of one parameter in row-major order, where training has changed it.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Sets a parameter's values.
    pub fn insert(&mut self, name: impl Into<String>, values: Vec<f32>) {
        self.0.insert(name.into(), values);
    }

    /// Takes over the values of another, which count more.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Keeps those whose names `keep` says yes to.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// All of them, for whoever writes files.
    pub fn values(&self) -> &HashMap<String, Vec<f32>> {
        &self.0
    }

    /// Parameters in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first parameter, by name, with a value that is not finite, and that value.
    pub fn not_finite(&self) -> Option<(&str, f32)> {
        let bad = |values: &Vec<f32>| values.iter().copied().find(|value| !value.is_finite());
        self.0
            .iter()
            .filter_map(|(name, values)| bad(values).map(|value| (name.as_str(), value)))
            .min_by_key(|(name, _)| *name)
    }

    /// What a network has changed so far.
    ///
    /// # Errors
    /// When the device fails to hand it back.
    pub fn of(network: &Network) -> Result<Self, Error> {
        Ok(Self(network.changed()?))
    }

    /// Those of the values that lie above the network's cut.
    pub(crate) fn above(&self, network: &Network) -> Self {
        let held = network
            .parameter_names()
            .filter_map(|name| self.0.get_key_value(name));
        Self(
            held.map(|(name, values)| (name.clone(), values.clone()))
                .collect(),
        )
    }

    /// The graph with these values where its nodes before `cut` read them; the graph itself where they read none.
    pub(crate) fn below(&self, graph: &Arc<Graph>, cut: usize) -> Arc<Graph> {
        let read = graph.parameters_of(0..cut);
        let changed: Vec<_> = read
            .into_iter()
            .filter_map(|id| Some((id, self.0.get(&graph.parameter(id).name)?)))
            .collect();
        if changed.is_empty() {
            return graph.clone();
        }
        let mut overlaid = Graph::clone(graph);
        for (id, values) in changed {
            overlaid.parameters[id.index()].data = values.clone().into();
        }
        Arc::new(overlaid)
    }
}

impl From<HashMap<String, Vec<f32>>> for StateDict {
    fn from(values: HashMap<String, Vec<f32>>) -> Self {
        Self(values)
    }
}
