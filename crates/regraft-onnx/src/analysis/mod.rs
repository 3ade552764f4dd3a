//! What a graph's structure tells: its blocks, where its head begins, and what it gives out.

pub(crate) mod blocks;
pub(crate) mod head;
pub(crate) mod output;
