//! What `countersign-writer pki …` understands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Mozilla's: the clients know it.
pub(super) const DOMAIN: &str = "content-signature.mozilla.org";

/// Makes certificates; prints where they are.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a root, which clients pin. Its key makes intermediates, and nothing else: keep it
    /// offline.
    Root(RootOptions),
    /// Make an intermediate, whose key makes leaf certificates.
    Intermediate(IntermediateOptions),
    /// Make a first leaf certificate, whose key signs content.
    Leaf(LeafOptions),
    /// Make all three, for development; what is there already stays.
    Dev(DevOptions),
    /// Make a new leaf certificate and chain beside the old ones, with a new key.
    Renew(RenewOptions),
    /// Print the SHA-256 of a root, as clients pin it.
    Pin {
        /// A root's certificate, or a chain.
        file: PathBuf,
    },
    /// Print what a chain says, and when it ends.
    Show {
        /// Chains in PEM.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Where certificates and keys are.
#[derive(Debug, Args)]
pub struct Place {
    /// The directory of certificates and keys; what is there is never overwritten.
    #[arg(long, value_name = "DIR", default_value = "pki")]
    pub(super) dir: PathBuf,
}

/// How a root is made.
#[derive(Debug, Args)]
pub struct RootOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// Its name.
    #[arg(long, default_value = "Countersign root")]
    pub(super) name: String,
    /// How long it lasts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) years: u16,
}

/// How an intermediate is made.
#[derive(Debug, Args)]
pub struct IntermediateOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// Its name.
    #[arg(long, default_value = "Countersign intermediate")]
    pub(super) name: String,
    /// How long it lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) years: u16,
    /// Leaf certificates are for names below this one. By default that of those that are there,
    /// or content-signature.mozilla.org where there is none.
    #[arg(long)]
    pub(super) domain: Option<String>,
    /// The root's key, where it is not DIR/root-key.pem.
    #[arg(long, value_name = "PEM_FILE")]
    pub(super) root_key: Option<PathBuf>,
}

/// How a leaf certificate is made.
#[derive(Debug, Args)]
pub struct LeafOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// The first label of its name: SIGNER.content-signature.mozilla.org.
    #[arg(long, default_value = "remote-settings")]
    pub(super) signer: String,
    #[command(flatten)]
    pub(super) lifetime: Lifetime,
}

/// How all three are made.
#[derive(Debug, Args)]
pub struct DevOptions {
    #[command(flatten)]
    pub(super) leaf: LeafOptions,
    /// The leaf certificate is for a name below this one.
    #[arg(long, default_value = DOMAIN)]
    pub(super) domain: String,
}

/// How a leaf certificate is renewed.
#[derive(Debug, Args)]
pub struct RenewOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// Which one; all by default.
    #[arg(long)]
    pub(super) signer: Option<String>,
    #[command(flatten)]
    pub(super) lifetime: Lifetime,
    /// Keep the key: for clients and readers that pin it.
    #[arg(long)]
    pub(super) keep_key: bool,
    /// Let the new one be for another host name, where the intermediate is for another domain.
    #[arg(long)]
    pub(super) rename: bool,
    /// Only where the present one ends within so many days: for a timer.
    #[arg(long, value_name = "DAYS")]
    pub(super) within: Option<u16>,
}

/// How long a leaf certificate lasts.
#[derive(Debug, Args)]
pub struct Lifetime {
    /// Days until it should be renewed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub(super) days: u16,
    /// Days more on both sides: for clients whose clocks are wrong, and for old signatures.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(..=3_650))]
    pub(super) skew_days: u16,
}
