//! Certificates: made by one library, and judged by another as clients judge.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Parser;
use shared::{
    chain::{Chain, ChainError, Role, RootHash},
    model::Timestamp,
    signature::PublicKey,
};
use writer::pki;

const HOST: &str = "remote-settings.content-signature.mozilla.org";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);
const DAY_MS: i64 = 24 * 3_600 * 1_000;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: pki::Command,
}

/// A directory of its own, which goes with the value.
pub(crate) struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("pki-test-{}", uuid::Uuid::new_v4())))
    }

    /// Runs `pki {words} --dir …`.
    pub(crate) fn run(&self, words: &str, now: Timestamp) -> Result<Vec<String>, String> {
        let dir = self.0.to_str().unwrap();
        let words = ["pki"].into_iter().chain(words.split(' ')).chain(["--dir", dir]);
        pki::run(&Cli::try_parse_from(words).unwrap().command, now)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn chain(&self) -> Chain {
        Chain::parse(&std::fs::read(self.path("remote-settings/current/chain.pem")).unwrap())
            .unwrap()
    }

    fn pin(&self) -> RootHash {
        let file = self.path("root.pem").to_str().unwrap().to_owned();
        let words = ["pki", "pin", file.as_str()];
        let lines = pki::run(&Cli::try_parse_from(words).unwrap().command, NOW).unwrap();
        RootHash::parse(&lines[0]).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn days(days: i64) -> Timestamp {
    NOW.plus_millis(days * DAY_MS)
}

#[test]
fn three_commands_make_a_chain_that_clients_trust() {
    let place = Place::new();

    place.run("root", NOW).unwrap();
    place.run("intermediate", NOW).unwrap();
    place.run("leaf", NOW).unwrap();

    let (chain, pin) = (place.chain(), place.pin());
    let key = chain.verify(&[pin], HOST, NOW).unwrap();
    let current = place.path("remote-settings/current");
    let public = std::fs::read(current.join("public-key.pem")).unwrap();
    assert_eq!(key, PublicKey::from_pem(&public).unwrap());
    assert_eq!(chain.root_hash(), pin);
    // The times of the specification: 30 days, and 30 more on both sides.
    let at = |role| chain.validity(role);
    assert_eq!(at(Role::Leaf).0.as_millis() / 1_000, days(-30).as_millis() / 1_000);
    assert_eq!(at(Role::Leaf).1.as_millis() / 1_000, days(60).as_millis() / 1_000);
    assert!(at(Role::Intermediate).1 > days(10 * 365) && at(Role::Root).1 > days(30 * 365));
    let file = format!("{HOST}-2027-03-16-08-00-00.chain");
    assert_eq!(chain.file_name().as_deref(), Some(file.as_str()));
    assert!(current.join(file).exists());
    for key in ["root-key.pem", "intermediate-key.pem", "remote-settings/current/private-key.pem"] {
        assert_eq!(mode(&place.path(key)), 0o600, "{key}");
    }
}

#[test]
fn what_is_there_is_never_overwritten() {
    let place = Place::new();
    place.run("dev", NOW).unwrap();
    let before = std::fs::read(place.path("root-key.pem")).unwrap();

    for command in ["root", "intermediate", "leaf"] {
        assert!(place.run(command, NOW).unwrap_err().contains("exists"), "{command}");
    }
    assert_eq!(place.run("dev", NOW).unwrap(), [""; 0], "nothing is missing");
    assert!(place.run("renew", NOW).unwrap_err().contains("exists"), "the same second");

    assert_eq!(std::fs::read(place.path("root-key.pem")).unwrap(), before);
    assert!(place.chain().verify(&[place.pin()], HOST, NOW).is_ok());
}

#[test]
fn a_renewal_needs_no_root_key_and_leaves_the_old_chain() {
    let place = Place::new();
    place.run("dev", NOW).unwrap();
    let old = place.chain();
    std::fs::remove_file(place.path("root-key.pem")).unwrap();

    let not_due = place.run("renew --within 31", days(28)).unwrap();
    assert!(not_due[0].contains("not due"), "{not_due:?}");
    assert_eq!(place.chain().file_name(), old.file_name());
    place.run("renew --within 31", days(29)).unwrap();

    let new = place.chain();
    let pins = [place.pin()];
    assert!(new.verify(&pins, HOST, days(88)).is_ok());
    assert_eq!(new.verify(&pins, HOST, days(90)), Err(ChainError::Expired(Role::Leaf)));
    assert_ne!(new.public_key(), old.public_key());
    assert!(old.verify(&pins, HOST, days(59)).is_ok(), "signatures by the old one are good still");
    let kept =
        place.path("remote-settings").join(old.file_name().unwrap().trim_end_matches(".chain"));
    assert!(kept.join("private-key.pem").exists());

    place.run("renew --keep-key", days(30)).unwrap();
    assert_eq!(place.chain().public_key(), new.public_key());
    assert_ne!(place.chain().file_name(), new.file_name());
}

#[test]
fn a_leaf_never_outlives_its_intermediate() {
    let place = Place::new();
    place.run("root", NOW).unwrap();
    place.run("intermediate --years 1", NOW).unwrap();

    let said = place.run("leaf", days(350)).unwrap();

    assert!(said.last().unwrap().contains("make a new intermediate"), "{said:?}");
    let chain = place.chain();
    assert_eq!(chain.validity(Role::Leaf).1, chain.validity(Role::Intermediate).1);
    assert!(place.run("renew", days(400)).unwrap_err().contains("ended"));
}

#[test]
fn another_domain_and_several_signers() {
    let place = Place::new();
    place.run("root --name Example", NOW).unwrap();
    place.run("intermediate --domain signatures.example.net", NOW).unwrap();
    for signer in ["remote-settings", "onecrl"] {
        place.run(&format!("leaf --signer {signer}"), NOW).unwrap();
    }

    let pins = [place.pin()];
    assert!(place.chain().verify(&pins, "remote-settings.signatures.example.net", NOW).is_ok());
    assert!(matches!(place.chain().verify(&pins, HOST, NOW), Err(ChainError::Name(_))));
    place.run("renew", days(1)).unwrap();
    assert_eq!(std::fs::read_dir(place.path("onecrl")).unwrap().count(), 3, "two and the link");

    for wrong in ["leaf --signer=a.b", "leaf --signer=-a", "leaf --signer=a_b"] {
        assert!(place.run(wrong, NOW).is_err(), "{wrong}");
    }
    let other = Place::new();
    other.run("root", NOW).unwrap();
    for wrong in ["a", "a..b", "-a.b", "a.b/c", "."] {
        let command = format!("intermediate --domain={wrong}");
        assert!(other.run(&command, NOW).unwrap_err().contains("domain"), "{wrong}");
    }
}

#[test]
fn a_renewal_keeps_the_host_name_unless_another_is_asked_for() {
    let place = Place::new();
    place.run("root", NOW).unwrap();
    let take_away = |name: &str| {
        for file in ["intermediate.pem", "intermediate-key.pem"] {
            std::fs::rename(place.path(file), place.path(&format!("{name}-{file}"))).unwrap();
        }
    };
    place.run("intermediate --domain signatures.example.net", NOW).unwrap();
    for signer in ["remote-settings", "onecrl"] {
        place.run(&format!("leaf --signer {signer}"), NOW).unwrap();
    }
    let current = |signer: &str| std::fs::read_link(place.path(&format!("{signer}/current")));
    let before = (current("onecrl").unwrap(), current("remote-settings").unwrap());

    take_away("first");
    let said = place.run("intermediate --domain content-signature.mozilla.org", NOW).unwrap();
    assert!(said[0].contains("below content-signature.mozilla.org"), "{said:?}");
    for command in ["renew", "renew --keep-key", "renew --within 90", "renew --signer onecrl"] {
        let refusal = place.run(command, days(1)).unwrap_err();
        assert!(refusal.contains("onecrl.signatures.example.net"), "{command}: {refusal}");
        assert!(refusal.contains("--rename"), "{command}: {refusal}");
    }
    assert_eq!((current("onecrl").unwrap(), current("remote-settings").unwrap()), before);
    assert_eq!(std::fs::read_dir(place.path("onecrl")).unwrap().count(), 2, "one and the link");
    place.run("renew --within 31", days(1)).unwrap();

    // Without a word, the next intermediate is for the domain of what there is.
    take_away("second");
    let said = place.run("intermediate", NOW).unwrap();
    assert!(said[0].contains("below signatures.example.net"), "{said:?}");
    place.run("renew", days(1)).unwrap();
    assert_eq!(place.chain().host().unwrap(), "remote-settings.signatures.example.net");

    take_away("third");
    place.run("intermediate --domain content-signature.mozilla.org", NOW).unwrap();
    place.run("renew --rename --signer remote-settings", days(2)).unwrap();
    assert!(place.chain().verify(&[place.pin()], HOST, days(2)).is_ok());
    take_away("fourth");
    assert!(place.run("intermediate", NOW).unwrap_err().contains("say --domain"), "which?");
}

#[test]
fn a_chain_of_another_root_is_not_made() {
    let (place, other) = (Place::new(), Place::new());
    place.run("dev", NOW).unwrap();
    other.run("root", NOW).unwrap();
    std::fs::copy(other.path("root.pem"), place.path("root.pem")).unwrap();
    let before = place.chain().file_name();

    assert!(place.run("renew", days(1)).unwrap_err().contains("does not hold"));

    assert_eq!(place.chain().file_name(), before);
}
