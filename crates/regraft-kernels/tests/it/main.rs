//! Every kernel against a naive reference, for every instruction set of the machine.
#![allow(clippy::unwrap_used, clippy::panic)]

mod batch_norm;
mod channels_last;
mod conv;
mod elementwise;
mod pooling;
mod reference;
mod small;
