//! Settings of sign-off that nobody understands end the start, whatever they are written in: a review
//! that was asked for would be missing.

use shared::config::Layers;
use writer::config::{Config, DEFAULTS};

const RESOURCES: &str = "signer.resources = /buckets/work -> /buckets/main";

/// What is wrong with a Kinto file of these lines, and with a file of ours; empty: nothing.
fn problems(lines: &[&str]) -> [String; 2] {
    let ini =
        lines.iter().fold("[app:main]\n".to_owned(), |ini, line| ini + "kinto." + line + "\n");
    let quoted = |line: &&str| {
        let (key, value) = line.split_once(" = ").unwrap();
        let parts: Vec<String> = key.split('.').map(|part| format!("\"{part}\"")).collect();
        format!("{} = \"{value}\"\n", parts.join("."))
    };
    let toml: String = lines.iter().map(quoted).collect();
    [("ini", ini), ("toml", toml)].map(|(ending, text)| {
        let path = std::env::temp_dir().join(format!("{}.{ending}", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        let mut layers = Layers::new(DEFAULTS);
        layers.file(&path);
        let read = Config::read(&mut layers);
        std::fs::remove_file(&path).unwrap();
        read.err().map_or_else(String::new, |problems| problems.lines().join("\n"))
    })
}

#[test]
fn a_misspelt_setting_of_a_signer_ends_the_start_and_names_the_right_one() {
    const KEY: &str = "signer.ecdsa.private_key = key.pem";
    for (line, problem) in [
        (
            "signer.to_review_enable = true",
            "signer.to_review_enable is not a setting; did you mean signer.to_review_enabled?",
        ),
        (
            "singer.to_review_enabled = true",
            "singer.to_review_enabled is not a setting; did you mean signer.to_review_enabled?",
        ),
        (
            "to_review_enabled = true",
            "to_review_enabled is not a setting; did you mean signer.to_review_enabled?",
        ),
        (
            "signer.wokr.to_review_enabled = true",
            "signer.wokr.to_review_enabled is not a setting; did you mean \
             signer.work.to_review_enabled?",
        ),
        ("signer.work.c.review = true", "signer.work.c.review is not a setting"),
        ("signer.elsewhere.c.to_review_enabled = true", "c.to_review_enabled is not a setting"),
        ("signer.elsewhere.ecdsa.private_key = x", "elsewhere.ecdsa.private_key is not a setting"),
        ("signer.two_people = true", "signer.two_people is not a setting"),
        (
            "signer.work.(a.*).to_review_enabled = true",
            "signer.work.(a.*).to_review_enabled is about no collection: a pattern has no dots in it",
        ),
    ] {
        for told in problems(&[RESOURCES, KEY, line]) {
            assert!(told.ends_with(problem) && !told.contains('\n'), "{line}: {told}");
        }
    }
    for line in [
        "signer.work.to_review_enabled = true",
        "signer.work.made-later.to_review_enabled = true",
        "signer.work_made-later.to_review_enabled = true",
        "signer.work.(a|b).to_review_enabled = true",
        "signer.work.c.signer_backend = local_ecdsa",
    ] {
        let later = "signer.work.made-later.signer_backend = local_ecdsa";
        assert_eq!(problems(&[RESOURCES, KEY, later, line]), ["", ""], "{line}");
    }
}

#[test]
fn a_misspelt_list_of_sources_ends_the_start_and_other_words_about_nothing_do_not() {
    for line in ["signer.resource = /buckets/work -> /buckets/main", "signer.resourcs = x"] {
        for told in problems(&[line]) {
            assert!(told.ends_with("did you mean signer.resources?"), "{line}: {told}");
        }
    }
    for line in ["signer.work.to_review_enabled = true", "signer.ecdsa.private_key = key.pem"] {
        assert_eq!(problems(&[line]), ["", ""], "{line}");
    }
    let [ini, toml] = problems(&["signer.two_people = true"]);
    assert_eq!(ini, "", "a warning: nothing is signed");
    assert!(toml.contains("signer.two_people is not a setting"), "{toml}");
}
