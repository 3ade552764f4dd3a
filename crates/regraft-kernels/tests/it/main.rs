//! Every kernel against a naive reference, for every instruction set of the machine.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conv;
mod reference;
