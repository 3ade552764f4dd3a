//! Initial weights: a function of the seed and the parameter's name, the same on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The values that a parameter starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Initial {
    /// All the same.
    Constant(f32),
    /// Normally distributed around 0.
    Normal { deviation: f64 },
}

/// Which side's number of values a layer's initial deviation keeps the scale of (He et al. 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fan {
    /// Activations keep their scale on the way forward.
    In,
    /// Gradients keep their scale on the way back.
    Out,
}

impl Initial {
    /// Kaiming's normal distribution for layers that a ReLU follows: variance 2 / fan.
    pub(crate) fn kaiming(fan: usize) -> Self {
        Self::Normal {
            deviation: (2.0 / fan as f64).sqrt(),
        }
    }

    /// `count` values as little-endian f32.
    pub(crate) fn bytes(self, count: usize, seed: u64, name: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 * count);
        match self {
            Self::Constant(value) => {
                for _ in 0..count {
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
            }
            Self::Normal { deviation } => {
                let mut random = Normal::new(seed, name);
                for _ in 0..count {
                    let value = (deviation * random.next()) as f32;
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
        bytes
    }
}

/// The standard normal distribution by the polar method (Marsaglia and Bray 1964).
///
/// The logarithm is libm's: that of the system may round otherwise on another machine.
struct Normal {
    random: ChaCha8Rng,
    /// Values come in pairs.
    spare: Option<f64>,
}

impl Normal {
    fn new(seed: u64, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(name.as_bytes());
        Self {
            random: ChaCha8Rng::from_seed(hash.finalize().into()),
            spare: None,
        }
    }

    fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (self.uniform(), self.uniform());
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }

    /// From -1 to below 1.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_of_the_standard_normal_distribution() {
        let mut random = Normal::new(1, "a");
        let draws: Vec<f64> = (0..200_000).map(|_| random.next()).collect();
        let moment = |power: i32| {
            let sum: f64 = draws.iter().map(|x| x.powi(power)).sum();
            sum / draws.len() as f64
        };
        for (power, expected) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)] {
            let found = moment(power);
            assert!((found - expected).abs() < 0.06, "{power}: {found}");
        }
    }

    #[test]
    fn draws_depend_on_the_seed_and_the_name() {
        let first = |seed, name| Normal::new(seed, name).next();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }
}
