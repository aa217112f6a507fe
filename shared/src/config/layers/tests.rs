use super::*;

const DEFAULTS: &str = "backoff = ''\nlisten = '127.0.0.1:1'\n[signer]\nenabled = false\n";

fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>().into_iter()
}

#[test]
fn the_environment_wins_over_the_defaults_and_keeps_its_text() {
    let mut layers = Layers::new(DEFAULTS);
    layers.environment(environment(&[
        ("KINTO_SIGNER_ENABLED", "true"),
        ("KINTO_BACKOFF", "0123"),
        ("COUNTERSIGN_LISTEN", "a"),
        ("KINTO_LISTEN", "b"),
    ]));

    assert!(layers.flag("signer.enabled"));
    assert_eq!(layers.text("backoff"), "0123");
    assert_eq!(layers.text("listen"), "a");
    assert_eq!(layers.text("listen"), "a", "asked again");
    layers.finish().unwrap();
    assert_eq!(layers.warnings(), [""; 0], "the other one is known, too");
}

#[test]
fn all_problems_are_told_at_once() {
    let mut layers = Layers::new(DEFAULTS);
    layers.toml("listn = 'x'\n[signer]\nenabled = 'maybe'\n", &Origin::Toml);

    layers.flag("signer.enabled");
    layers.text("listen");
    layers.number("backoff", 1, 9);
    let problems = layers.finish().unwrap_err();

    assert_eq!(problems.lines().len(), 3, "{problems}");
    assert!(problems.to_string().contains("listn is not a setting; did you mean listen?"));
}

#[test]
fn a_variable_that_means_two_settings_is_a_problem() {
    let read = |keys: [&str; 2]| {
        let mut layers = Layers::new(DEFAULTS);
        layers.environment(environment(&[("KINTO_SIGNER_A_B_C", "true")]));
        for key in keys {
            layers.text(key);
        }
        layers.finish()
    };

    read(["signer.a-b.c", "signer.a-b.c"]).unwrap();
    read(["signer.a.b.c", "signer.a_b.c"]).unwrap();
    for other in ["signer.a_b.c", "signer.A-b.c", "signer.a.b.c"] {
        let problems = read(["signer.a-b.c", other]).unwrap_err().to_string();
        assert!(problems.contains("KINTO_SIGNER_A_B_C can mean"), "{problems}");
    }
}

#[test]
fn secrets_are_masked() {
    assert_eq!(masked("userid_hmac_secret", "x"), "***");
    assert_eq!(masked("slack.x.webhook_url", "https://h/"), "***");
    assert_eq!(masked("webhook.ci.url", "https://h/"), "***");
    assert_eq!(masked("webhook.ci.action", "create"), "create");
    assert_eq!(masked("purge.edge.token", "x"), "***");
    assert_eq!(masked("purge.edge.kind", "fastly"), "fastly");
    assert_eq!(masked("signer.ecdsa.private_key", "-----BEGIN PRIVATE KEY-----\nx"), "***");
    assert_eq!(masked("signer.ecdsa.private_key", "/etc/key.pem"), "/etc/key.pem");
    assert_eq!(masked("storage_url", "postgresql://u:p@h/d"), "postgresql://u:***@h/d");
    assert_eq!(masked("storage_url", "postgresql://u@h/d"), "postgresql://u@h/d");
}

/// Kinto reads them; so do other programs, and nobody sees which one was meant.
#[test]
fn variables_without_a_prefix_are_warned_of_and_not_read() {
    let mut layers = Layers::new(DEFAULTS);
    layers.environment(environment(&[("BACKOFF", "3"), ("HOME", "/root"), ("SIGNER", "x")]));

    assert_eq!(layers.text("backoff"), "");
    layers.finish().unwrap();

    assert_eq!(layers.warnings(), ["environment BACKOFF is not read: KINTO_BACKOFF is"]);
}

#[test]
fn lifetimes_below_zero_count_as_unset() {
    let mut layers = Layers::new("a = -1\nb = 0\nc = 60\nd = ''\ne = '-x'\n");

    let read = ["a", "b", "c", "d", "e"].map(|key| layers.lifetime(key));

    assert_eq!(read, [None, Some(0), Some(60), None, None]);
    assert_eq!(layers.finish().unwrap_err().lines().len(), 1, "-x is no number");
}

#[test]
fn here_is_the_whole_path_of_the_file_s_directory() {
    let directory = std::env::current_dir().unwrap();
    let name = format!("{}.ini", uuid::Uuid::new_v4());
    std::fs::write(&name, "[server:main]\nport = 8888\n[app:main]\nbackoff = %(here)s/x\n")
        .unwrap();
    let mut layers = Layers::new(DEFAULTS);
    layers.file(Path::new(&name));
    std::fs::remove_file(&name).unwrap();

    assert_eq!(layers.text("backoff"), format!("{}/x", directory.display()));
    layers.finish().unwrap();
    assert_eq!(layers.warnings(), ["[server:main] port is not a setting of this service"]);
}
