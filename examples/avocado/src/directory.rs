//! Who takes part: what everybody knows of everybody.

use serde::{Deserialize, Serialize};

/// A company's part in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Grows and picks.
    Farmer,
    /// Sorts, packs, builds pallets.
    Packer,
    /// Takes them to the towns, cold.
    Carrier,
    /// Sells.
    Merchant,
    /// Looks after those who eat.
    Consumer,
}

impl Role {
    /// All of them, in the order in which fruit meets them.
    pub const ALL: [Self; 5] = [
        Self::Farmer,
        Self::Packer,
        Self::Carrier,
        Self::Merchant,
        Self::Consumer,
    ];

    /// The word for it: the name of its folder and its database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Farmer => "farmer",
            Self::Packer => "packer",
            Self::Carrier => "carrier",
            Self::Merchant => "merchant",
            Self::Consumer => "consumer",
        }
    }

    /// What the company is called. All are invented.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Farmer => "Huertas La Cañada",
            Self::Packer => "Empaque El Zorzal",
            Self::Carrier => "Transportes Ruta Fría",
            Self::Merchant => "Tiendas Mercado Vivo",
            Self::Consumer => "Aguacate Claro",
        }
    }

    /// Its prefix among the numbers of GS1, from those that GS1 keeps for examples.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Farmer => "9521101",
            Self::Packer => "9521102",
            Self::Carrier => "9521103",
            Self::Merchant => "9521104",
            Self::Consumer => "9521105",
        }
    }
}

/// The five.
pub fn companies() -> impl Iterator<Item = (Role, &'static str)> {
    Role::ALL.into_iter().map(|role| (role, role.name()))
}
