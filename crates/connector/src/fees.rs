//! What a transaction offers for its gas. Amounts are in wei per gas.

use std::time::Duration;

use alloy_rpc_types_eth::FeeHistory;

/// How a network wants to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fees {
    /// Nothing: networks of a consortium, and ours.
    Free,
    /// A fixed price, in transactions of the type that every network knows.
    Legacy {
        /// Paid for each gas.
        price: u128,
        /// Whether to offer more when nothing happens.
        replace: Option<Replace>,
    },
    /// The network's base fee and a tip (EIP-1559), as recent blocks had them.
    Market(Market),
}

/// A bid on a fee market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Market {
    /// Never offer more than this, base fee and tip together.
    pub cap: u128,
    /// Never tip more than this.
    pub tip_max: u128,
    /// Tip what this per cent of the gas in recent blocks tipped at most; 50 is the middle.
    pub percentile: u8,
    /// Whether to offer more when nothing happens.
    pub replace: Option<Replace>,
}

/// When and by how much an offer is raised. The same call under the same number goes out again; one
/// of the two is mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replace {
    /// After so long without a block.
    pub after: Duration,
    /// By so many per cent at least; most nodes want 10, some 12.5.
    pub bump_percent: u32,
    /// Never above this (a market's cap holds besides).
    pub cap: u128,
}

/// What one transaction offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// One price.
    Legacy(u128),
    /// Base fee and tip.
    Dynamic {
        /// At most, both together.
        max: u128,
        /// Of this, to whoever makes the block.
        tip: u128,
    },
}

/// The network is too dear, or does not say what it costs. Nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeesError {
    /// Wait, or raise the cap.
    #[error("the network's base fee is {base} wei per gas, and the profile's cap is {cap}")]
    AboveCap {
        /// The next block's base fee.
        base: u128,
        /// The profile's cap.
        cap: u128,
    },
    /// The network has no fee market: use another profile.
    #[error("the node knows no base fee: the network has no fee market, so use a fixed price")]
    NoMarket,
}

impl Fees {
    /// When and how to offer more, if at all.
    pub fn replace(&self) -> Option<Replace> {
        match self {
            Self::Free => None,
            Self::Legacy { replace, .. } => *replace,
            Self::Market(market) => market.replace.map(|replace| Replace {
                cap: replace.cap.min(market.cap),
                ..replace
            }),
        }
    }
}

impl Market {
    /// A bid that stays good for about six full blocks in a row: twice the next base fee, and the tip
    /// that the middle of recent blocks took.
    ///
    /// # Errors
    /// There is no market, or the base fee is above the cap.
    pub fn bid(&self, history: &FeeHistory) -> Result<Price, FeesError> {
        let base = history.next_block_base_fee().ok_or(FeesError::NoMarket)?;
        if base > self.cap {
            return Err(FeesError::AboveCap {
                base,
                cap: self.cap,
            });
        }
        let rewards = history.reward.iter().flatten();
        let mut tips: Vec<u128> = rewards
            .filter_map(|block| block.first().copied())
            .filter(|&tip| tip > 0)
            .collect();
        tips.sort_unstable();
        let tip = tips.get(tips.len() / 2).copied().unwrap_or_default();
        let tip = tip.min(self.tip_max);
        let max = base.saturating_mul(2).saturating_add(tip).min(self.cap);
        Ok(Price::Dynamic {
            max,
            tip: tip.min(max),
        })
    }
}

impl Price {
    /// What is offered at most.
    pub const fn max(self) -> u128 {
        match self {
            Self::Legacy(price) => price,
            Self::Dynamic { max, .. } => max,
        }
    }

    /// The offer that may take this one's place: more of everything by the rule's per cent, and no
    /// less than what the network asks now. `None` when the cap forbids it.
    pub fn raised(self, replace: Replace, now: Option<Self>) -> Option<Self> {
        let more = |price: u128| {
            let hundredths = price.saturating_mul(u128::from(100 + replace.bump_percent));
            hundredths.div_ceil(100).max(price.saturating_add(1))
        };
        let raised = match (self, now) {
            (Self::Legacy(price), now) => {
                Self::Legacy(more(price).max(now.map_or(0, |now| now.max())))
            }
            (Self::Dynamic { max, tip }, Some(Self::Dynamic { max: m, tip: t })) => Self::Dynamic {
                max: more(max).max(m),
                tip: more(tip).max(t),
            },
            (Self::Dynamic { max, tip }, _) => Self::Dynamic {
                max: more(max),
                tip: more(tip),
            },
        };
        (raised.max() <= replace.cap).then_some(raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;

    fn market() -> Market {
        Market {
            cap: 100 * GWEI,
            tip_max: 2 * GWEI,
            percentile: 50,
            replace: None,
        }
    }

    fn history(base: u128, tips: &[u128]) -> FeeHistory {
        FeeHistory {
            base_fee_per_gas: vec![1, 2, base],
            reward: Some(tips.iter().map(|&tip| vec![tip]).collect()),
            ..FeeHistory::default()
        }
    }

    #[test]
    fn a_bid_is_twice_the_base_fee_and_the_middle_tip() {
        let bid = market().bid(&history(10 * GWEI, &[0, GWEI, 0, 3, 5 * GWEI]));
        let max = 21 * GWEI;
        assert_eq!(bid, Ok(Price::Dynamic { max, tip: GWEI }));
    }

    #[test]
    fn a_bid_never_exceeds_its_caps() {
        let bid = market().bid(&history(70 * GWEI, &[9 * GWEI]));
        let (max, tip) = (100 * GWEI, 2 * GWEI);
        assert_eq!(bid, Ok(Price::Dynamic { max, tip }));
        let base = 101 * GWEI;
        let cap = 100 * GWEI;
        assert_eq!(
            market().bid(&history(base, &[])),
            Err(FeesError::AboveCap { base, cap })
        );
        let bid = market().bid(&history(u128::MAX, &[]));
        assert!(matches!(bid, Err(FeesError::AboveCap { .. })));
    }

    #[test]
    fn a_network_without_base_fees_costs_nothing_and_one_without_history_is_refused() {
        let bid = market().bid(&history(0, &[0, 0]));
        assert_eq!(bid, Ok(Price::Dynamic { max: 0, tip: 0 }));
        let bid = market().bid(&FeeHistory::default());
        assert_eq!(bid, Err(FeesError::NoMarket));
    }

    #[test]
    fn a_raised_price_is_higher_by_the_per_cent_rounded_up_or_not_at_all() {
        let replace = |cap| Replace {
            after: Duration::ZERO,
            bump_percent: 10,
            cap,
        };
        let raised = Price::Legacy(101).raised(replace(1000), None);
        assert_eq!(raised, Some(Price::Legacy(112)));
        assert_eq!(Price::Legacy(101).raised(replace(111), None), None);
        let old = Price::Dynamic { max: 100, tip: 0 };
        let raised = old.raised(replace(1000), Some(Price::Dynamic { max: 300, tip: 7 }));
        assert_eq!(raised, Some(Price::Dynamic { max: 300, tip: 7 }));
        let raised = old.raised(replace(1000), None);
        assert_eq!(raised, Some(Price::Dynamic { max: 110, tip: 1 }));
        assert_eq!(
            Price::Legacy(u128::MAX).raised(replace(u128::MAX), None),
            Some(Price::Legacy(u128::MAX))
        );
    }

    #[test]
    fn the_lower_cap_of_market_and_replacement_holds() {
        let replace = Some(Replace {
            after: Duration::from_secs(1),
            bump_percent: 10,
            cap: u128::MAX,
        });
        let fees = Fees::Market(Market {
            replace,
            ..market()
        });
        assert_eq!(fees.replace().unwrap().cap, 100 * GWEI);
    }
}
