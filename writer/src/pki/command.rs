//! `countersign-writer pki …`: makes certificates, and says what it made.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use shared::{
    chain::{Chain, Role, RootHash},
    model::{Id, Timestamp},
};
use x509_cert::{
    Certificate,
    der::{DecodePem as _, Encode as _},
};

use super::{
    certificate::{Authority, Period, Purpose, check_domain, domain, issue, period},
    directory::{Directory, chain_pem},
    options::{Command, DOMAIN, DevOptions, LeafOptions, Lifetime, RenewOptions},
};
use crate::signer::random_key;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Authorities begin so much earlier, for clients whose clocks are late.
const BACKDATED_DAYS: i64 = 30;
/// What the two authorities' files are called.
const ROOT: &str = "root";
const INTERMEDIATE: &str = "intermediate";

/// Runs a command and returns what it prints.
///
/// # Errors
///
/// What is wrong, as text. What was made before it stays.
pub fn run(command: &Command, now: Timestamp) -> Result<Vec<String>, String> {
    match command {
        Command::Root(options) => root(&options.place.dir, &options.name, options.years, now),
        Command::Intermediate(options) => {
            let root =
                Directory(&options.place.dir).authority(ROOT, options.root_key.as_deref())?;
            let (name, years) = (&options.name, options.years);
            let domain = match &options.domain {
                Some(domain) => domain.clone(),
                None => present_domain(&Directory(&options.place.dir))?,
            };
            intermediate(&options.place.dir, &root, name, &domain, years, now)
        }
        Command::Leaf(options) => first_leaf(options, now),
        Command::Dev(options) => dev(options, now),
        Command::Renew(options) => renew(options, now),
        Command::Pin { file } => Ok(vec![pin(file)?.to_string()]),
        Command::Show { files } => {
            let shown =
                files.iter().map(PathBuf::as_path).map(show).collect::<Result<Vec<_>, _>>()?;
            Ok(shown.concat())
        }
    }
}

fn root(dir: &Path, name: &str, years: u16, now: Timestamp) -> Result<Vec<String>, String> {
    let key = random_key()?;
    let certificate = issue(&Purpose::Root, name, &key, years_from(now, years))?;
    let hash = hash(&certificate)?;
    let path = Directory(dir).add(ROOT, &Authority { certificate, key })?;
    Ok(vec![
        format!("root          {}", path.display()),
        format!("pin           {hash}"),
        "Keep root-key.pem offline: it makes intermediates, and nothing else.".to_owned(),
    ])
}

fn intermediate(
    dir: &Path,
    root: &Authority,
    name: &str,
    domain: &str,
    years: u16,
    now: Timestamp,
) -> Result<Vec<String>, String> {
    check_domain(domain)?;
    let key = random_key()?;
    let (period, _) = within(years_from(now, years), &root.certificate)?;
    let purpose = Purpose::Intermediate { root, domain };
    let certificate = issue(&purpose, name, &key, period)?;
    let path = Directory(dir).add(INTERMEDIATE, &Authority { certificate, key })?;
    Ok(vec![format!("intermediate  {}, for names below {domain}", path.display())])
}

/// The one domain of the leaf certificates that are there, or the clients' own.
fn present_domain(directory: &Directory<'_>) -> Result<String, String> {
    let mut domains = BTreeSet::new();
    for signer in directory.signers()? {
        let host = present(directory, &signer)?.host().unwrap_or_default();
        domains.extend(host.split_once('.').map(|(_, domain)| domain.to_owned()));
    }
    if domains.len() > 1 {
        let domains: Vec<String> = domains.into_iter().collect();
        return Err(format!(
            "there are leaf certificates below {}: say --domain",
            domains.join(", ")
        ));
    }
    Ok(domains.pop_first().unwrap_or_else(|| DOMAIN.to_owned()))
}

fn present(directory: &Directory<'_>, signer: &str) -> Result<Chain, String> {
    Chain::parse(directory.current_chain(signer)?.as_bytes()).map_err(told)
}

/// The host name of a leaf certificate that this intermediate would make.
fn host_below(intermediate: &Certificate, signer: &str) -> Result<String, String> {
    let domain =
        domain(intermediate).ok_or("the intermediate does not say for which domain it is")?;
    Ok(format!("{signer}.{domain}"))
}

fn first_leaf(options: &LeafOptions, now: Timestamp) -> Result<Vec<String>, String> {
    let directory = Directory(&options.place.dir);
    let current = directory.current(&options.signer);
    if current.exists() {
        return Err(format!("{}: it exists: use `pki renew`", current.display()));
    }
    leaf(&directory, &options.signer, &options.lifetime, false, now)
}

/// Makes a leaf certificate, checks its chain as clients will, and makes it the current one.
fn leaf(
    directory: &Directory<'_>,
    signer: &str,
    lifetime: &Lifetime,
    keep_key: bool,
    now: Timestamp,
) -> Result<Vec<String>, String> {
    Id::new(signer).map_err(|_| format!("'{signer}' is not a signer's name"))?;
    let root = directory.certificate(ROOT)?;
    let intermediate = directory.authority(INTERMEDIATE, None)?;
    let host = host_below(&intermediate.certificate, signer)?;
    check_domain(&host)?;
    let skew = i64::from(lifetime.skew_days);
    let until = i64::from(lifetime.days) + skew;
    let (period, is_cut) = within(days(now, -skew, until), &intermediate.certificate)?;
    let key = if keep_key { directory.current_key(signer)? } else { random_key()? };
    let purpose = Purpose::Leaf { intermediate: &intermediate, host: &host };
    let certificate = issue(&purpose, &host, &key, period)?;

    let pem = chain_pem([&certificate, &intermediate.certificate, &root])?;
    let chain = Chain::parse(pem.as_bytes()).map_err(told)?;
    chain.verify(&[hash(&root)?], &host, now).map_err(told)?;
    let file = chain.file_name().ok_or_else(|| format!("'{host}' cannot name a file"))?;
    directory.add_leaf(signer, &file, &key, &pem)?;
    let mut lines = said(directory, signer, &chain);
    if is_cut {
        lines.push("It ends with its intermediate: make a new intermediate.".to_owned());
    }
    Ok(lines)
}

fn dev(options: &DevOptions, now: Timestamp) -> Result<Vec<String>, String> {
    let LeafOptions { place, signer, lifetime } = &options.leaf;
    let directory = Directory(&place.dir);
    let mut lines = Vec::new();
    if !directory.has(ROOT) {
        lines.extend(root(&place.dir, "Countersign development root", 30, now)?);
    }
    if !directory.has(INTERMEDIATE) {
        let root = directory.authority(ROOT, None)?;
        let name = "Countersign development intermediate";
        lines.extend(intermediate(&place.dir, &root, name, &options.domain, 10, now)?);
    }
    if !directory.current(signer).exists() {
        lines.extend(leaf(&directory, signer, lifetime, false, now)?);
    }
    Ok(lines)
}

fn renew(options: &RenewOptions, now: Timestamp) -> Result<Vec<String>, String> {
    let directory = Directory(&options.place.dir);
    let signers = match &options.signer {
        Some(signer) => vec![signer.clone()],
        None => directory.signers()?,
    };
    if signers.is_empty() {
        return Err(format!(
            "{}: there is no leaf certificate yet: use `pki leaf`",
            options.place.dir.display()
        ));
    }
    let presents = signers.iter().map(|signer| Ok((signer, present(&directory, signer)?)));
    let presents: Vec<(&String, Chain)> = presents.collect::<Result<_, String>>()?;
    let is_due = |chain: &Chain| {
        let (_, until) = chain.validity(Role::Leaf);
        let days = options.within.map(i64::from);
        days.is_none_or(|days| until <= now.plus_millis(days * DAY_MS))
    };
    if !options.rename {
        // Before the first one moves: all of them, or none.
        let due = presents.iter().filter(|(_, chain)| is_due(chain));
        due.into_iter().try_for_each(|(signer, chain)| keeps_host(&directory, signer, chain))?;
    }
    let mut lines = Vec::new();
    for (signer, chain) in &presents {
        if is_due(chain) {
            lines.extend(leaf(&directory, signer, &options.lifetime, options.keep_key, now)?);
        } else {
            let until = date(chain.validity(Role::Leaf).1);
            lines.push(format!("leaf          {signer} ends on {until}: not due"));
        }
    }
    Ok(lines)
}

/// Readers and clients expect one host name, and refuse whatever is signed for another.
fn keeps_host(directory: &Directory<'_>, signer: &str, present: &Chain) -> Result<(), String> {
    let before = present.host().unwrap_or_default();
    let host = host_below(&directory.certificate(INTERMEDIATE)?, signer)?;
    if host == before {
        return Ok(());
    }
    Err(format!(
        "{signer} has a certificate for {before}, and the intermediate makes one for {host}, which \
         readers and clients that expect the former refuse: nothing was changed. Make the intermediate \
         with --domain, or say --rename"
    ))
}

fn said(directory: &Directory<'_>, signer: &str, chain: &Chain) -> Vec<String> {
    let current = directory.current(signer);
    let mut lines = told_chain(chain);
    lines.push(format!("key           {}", current.join("private-key.pem").display()));
    lines.push(format!("chain         {}", current.join("chain.pem").display()));
    lines
}

/// What a chain says of itself.
fn told_chain(chain: &Chain) -> Vec<String> {
    let mut lines = vec![format!("host          {}", chain.host().unwrap_or_default())];
    for role in Role::ALL {
        let (from, until) = chain.validity(role);
        lines.push(format!("{:13} {} to {}", role.name(), date(from), date(until)));
    }
    lines.push(format!("pin           {}", chain.root_hash()));
    lines
}

fn show(file: &Path) -> Result<Vec<String>, String> {
    let chain = read(file).and_then(|pem| Chain::parse(&pem).map_err(told));
    let chain = chain.map_err(|problem| format!("{}: {problem}", file.display()))?;
    let mut lines = vec![format!("file          {}", file.display())];
    lines.extend(told_chain(&chain));
    Ok(lines)
}

/// The root's hash, of its own certificate or of a chain.
fn pin(file: &Path) -> Result<RootHash, String> {
    let pem = read(file)?;
    if let Ok(chain) = Chain::parse(&pem) {
        return Ok(chain.root_hash());
    }
    let certificate = Certificate::from_pem(&pem);
    certificate.map_err(told).and_then(|certificate| hash(&certificate)).map_err(|problem| {
        format!("{}: neither a chain nor a certificate: {problem}", file.display())
    })
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn hash(certificate: &Certificate) -> Result<RootHash, String> {
    let der = certificate.to_der().map_err(told)?;
    Ok(RootHash::of(&der.into()))
}

fn years_from(now: Timestamp, years: u16) -> Period {
    days(now, -BACKDATED_DAYS, i64::from(years) * 1_461 / 4)
}

fn days(now: Timestamp, from: i64, until: i64) -> Period {
    Period { from: now.plus_millis(from * DAY_MS), until: now.plus_millis(until * DAY_MS) }
}

/// A period that its issuer outlives, and whether it had to be cut for that.
fn within(wanted: Period, issuer: &Certificate) -> Result<(Period, bool), String> {
    let issuer = period(issuer);
    let (from, until) = (wanted.from.max(issuer.from), wanted.until.min(issuer.until));
    if until <= from {
        return Err(format!("its issuer ended on {}: make a new one", date(issuer.until)));
    }
    Ok((Period { from, until }, until < wanted.until))
}

/// `2026-12-27 08:20:52 UTC`.
fn date(instant: Timestamp) -> String {
    let text = instant.iso8601();
    text.get(..19).map_or_else(String::new, |text| text.replace('T', " ") + " UTC")
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
