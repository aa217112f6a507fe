//! Where certificates and keys are. Nothing is ever overwritten; the one thing that moves is the
//! link `current`, in one step, so that a key and its chain change together.
//!
//! ```text
//! root.pem          root-key.pem
//! intermediate.pem  intermediate-key.pem
//! remote-settings/current -> {host}-{end}/
//! remote-settings/{host}-{end}/private-key.pem  public-key.pem  chain.pem -> {host}-{end}.chain
//! ```

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use p384::SecretKey;
use x509_cert::{
    Certificate,
    der::{DecodePem as _, EncodePem as _, pem::LineEnding},
};

use super::certificate::Authority;
use crate::signer::{create, read_key, write_key, write_pair};

/// The link to what signs now.
const CURRENT: &str = "current";

/// A directory of certificates.
pub(super) struct Directory<'a>(pub(super) &'a Path);

impl Directory<'_> {
    /// Reads `{name}.pem`.
    pub(super) fn certificate(&self, name: &str) -> Result<Certificate, String> {
        let path = self.0.join(format!("{name}.pem"));
        Certificate::from_pem(read(&path)?).map_err(|error| at(&path, &error))
    }

    /// Reads `{name}.pem` and its key, which may be elsewhere.
    pub(super) fn authority(&self, name: &str, key: Option<&Path>) -> Result<Authority, String> {
        let certificate = self.certificate(name)?;
        let path = key.map_or_else(|| self.key_path(name), Path::to_owned);
        let key = read_key(&read(&path)?).map_err(|error| at(&path, &error))?;
        Ok(Authority { certificate, key })
    }

    /// Whether there is a certificate of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.join(format!("{name}.pem")).exists()
    }

    /// Writes `{name}.pem` and its key.
    pub(super) fn add(&self, name: &str, authority: &Authority) -> Result<PathBuf, String> {
        let path = self.0.join(format!("{name}.pem"));
        if path.exists() {
            return Err(at(&path, &"it exists, and is never overwritten"));
        }
        fs::create_dir_all(self.0).map_err(|error| at(self.0, &error))?;
        write_key(&self.key_path(name), &authority.key)?;
        create(&path, pem(&authority.certificate)?.as_bytes(), 0o644)?;
        Ok(path)
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}-key.pem"))
    }

    /// Where the signer's present key and chain are.
    pub(super) fn current(&self, signer: &str) -> PathBuf {
        self.0.join(signer).join(CURRENT)
    }

    /// The signers that have a leaf certificate, by name.
    pub(super) fn signers(&self) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(self.0).map_err(|error| at(self.0, &error))?;
        let mut signers: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| self.current(name).exists())
            .collect();
        signers.sort();
        Ok(signers)
    }

    /// The key that the signer has now.
    pub(super) fn current_key(&self, signer: &str) -> Result<SecretKey, String> {
        let path = self.current(signer).join("private-key.pem");
        read_key(&read(&path)?).map_err(|error| at(&path, &error))
    }

    /// The chain that the signer has now.
    pub(super) fn current_chain(&self, signer: &str) -> Result<String, String> {
        read(&self.current(signer).join("chain.pem"))
    }

    /// Writes a key and its chain beside those that there are, and makes them the current ones.
    /// `file` is the chain's name, which ends in `.chain`.
    pub(super) fn add_leaf(
        &self,
        signer: &str,
        file: &str,
        key: &SecretKey,
        chain: &str,
    ) -> Result<(), String> {
        let home = self.0.join(signer);
        let name = file.trim_end_matches(".chain");
        let (path, unfinished) = (home.join(name), home.join(format!(".{name}")));
        if path.exists() {
            return Err(at(&path, &"it exists, and is never overwritten"));
        }
        // What an interrupted run left.
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).map_err(|error| at(&unfinished, &error))?;
        write_pair(&unfinished, key)?;
        create(&unfinished.join(file), chain.as_bytes(), 0o644)?;
        link(file, &unfinished.join("chain.pem"))?;
        rename(&unfinished, &path)?;
        let next = home.join(".current");
        let _ = fs::remove_file(&next);
        link(name, &next)?;
        rename(&next, &home.join(CURRENT))
    }
}

/// A chain's text: each certificate in PEM, the leaf first.
pub(super) fn chain_pem(chain: [&Certificate; 3]) -> Result<String, String> {
    chain.into_iter().map(pem).collect()
}

fn pem(certificate: &Certificate) -> Result<String, String> {
    certificate.to_pem(LineEnding::LF).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| at(path, &error))
}

fn link(target: &str, path: &Path) -> Result<(), String> {
    symlink(target, path).map_err(|error| at(path, &error))
}

fn rename(from: &Path, to: &Path) -> Result<(), String> {
    fs::rename(from, to).map_err(|error| at(to, &error))
}

fn at(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("{}: {problem}", path.display())
}
