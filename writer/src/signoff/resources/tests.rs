use super::*;

fn parse(lines: &[&str]) -> Result<Resources, String> {
    Resources::parse(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

#[test]
fn a_bucket_line_keeps_the_collection_s_name() {
    let resources = parse(&[
        "/buckets/work -> /buckets/preview -> /buckets/main",
        "work/special;other/renamed",
    ])
    .unwrap();

    let triple = resources.of_source(&id("work"), &id("cfr")).unwrap();
    assert_eq!(triple.preview.unwrap().to_string(), "/buckets/preview/collections/cfr");
    assert_eq!(triple.destination.to_string(), "/buckets/main/collections/cfr");
    let special = resources.of_source(&id("work"), &id("special")).unwrap();
    assert_eq!(special.preview, None);
    assert_eq!(special.destination.to_string(), "/buckets/other/collections/renamed");
    assert_eq!(resources.role("main", "x"), Some(Role::Signed));
    assert_eq!(resources.role("work", "x"), Some(Role::Source));
    assert_eq!(resources.role("elsewhere", "x"), None);
    assert_eq!(resources.sources_of("main", &id("cfr")).len(), 1);
    assert!(resources.sources_of("main", &id("special")).is_empty());
    let into = |bucket: &str| resources.sources_into(bucket).count();
    assert_eq!((into("main"), into("other"), into("work")), (1, 1, 0));
}

#[test]
fn spellings() {
    for line in [
        "/buckets/a->/buckets/b",
        "/buckets/a ; /buckets/b",
        " /buckets/a -> /buckets/b -> ",
        "/buckets/a;/buckets/p;/buckets/b",
        "a/x -> b/x",
        "/buckets/a/collections/x;b/y",
    ] {
        assert!(parse(&[line]).is_ok(), "{line}");
    }
}

/// A collection that is signed within a bucket of sources is no source.
#[test]
fn what_is_signed_is_no_source() {
    let resources = parse(&["/buckets/work -> /buckets/main", "work/a -> work/a-signed"]).unwrap();

    assert_eq!(resources.role("work", "a-signed"), Some(Role::Signed));
    assert_eq!(resources.of_source(&id("work"), &id("a-signed")), None);
    assert_eq!(resources.role("work", "a"), Some(Role::Source));
}

#[test]
fn each_mistake_has_its_text() {
    let wrapped = |why: &str, line: &str| {
        format!("Malformed resource: {why} (in '{line}'). See kinto-remote-settings README.")
    };
    for (line, why) in [
        ("/buckets/a /buckets/b", "not separated with '->'"),
        ("/buckets/a ->", "should be a pair or a triplet"),
        ("a/1 -> a/2 -> a/3 -> a/4", "should be a pair or a triplet"),
        ("a -> b", "should be a bucket or collection URI"),
        ("/buckets/a/b -> /buckets/b", "should be a bucket or collection URI"),
        ("/buckets/_a -> /buckets/b", "bucket or collection id is invalid"),
        ("/buckets/a,/buckets/b -> /buckets/c", "should be a bucket or collection URI"),
        ("/buckets/a -> b/c", "cannot mix bucket and collection URIs"),
        ("/buckets/a -> /buckets/a", "cannot have same value for source,  preview or destination"),
        ("a/x -> b/x -> a/x", "cannot have same value for source,  preview or destination"),
    ] {
        assert_eq!(parse(&[line]).unwrap_err(), wrapped(why, line));
    }
    let (first, second) = ("/buckets/a -> /buckets/b", "/buckets/a -> /buckets/c");
    assert_eq!(parse(&[first, second]).unwrap_err(), wrapped("cannot repeat resource", second));
    for (second, text) in [
        ("/buckets/c -> /buckets/b", "Resources setting has repeated destination URI"),
        ("/buckets/b -> /buckets/c", "cannot repeat URIs across resources"),
        // Trap 30: a chain, also where a line names the collection.
        ("b/x -> c/x", "cannot repeat URIs across resources"),
        // Two sources of one destination.
        ("c/x -> b/x", "Resources setting has repeated destination URI"),
    ] {
        assert_eq!(parse(&[first, second]).unwrap_err(), text, "{second}");
    }
    let previews =
        ["/buckets/a -> /buckets/p -> /buckets/b", "/buckets/c -> /buckets/p -> /buckets/d"];
    assert_eq!(parse(&previews).unwrap_err(), "Resources setting has repeated preview URI");
}

#[test]
fn a_line_of_a_collection_may_narrow_that_of_its_bucket() {
    assert!(parse(&["/buckets/a -> /buckets/p -> /buckets/b", "a/x -> b/x"]).is_ok());
}

#[test]
fn settings_of_a_collection_make_it_a_resource() {
    let mut resources =
        parse(&["/buckets/work -> /buckets/preview -> /buckets/main", "work/own -> other/own"])
            .unwrap();
    resources.set_implicit(
        [
            "signer.resources",
            "signer.work.to_review_enabled",
            "signer.work.cfr.to_review_enabled",
            "signer.work.cfr.autograph.key_ids",
            "signer.work.own.signer_backend",
            // Trap 61: these are the bucket's own.
            "signer.work.autograph.hawk_id",
            "signer.work.ecdsa.private_key",
            r"signer.work.quick-(\w+).to_review_enabled",
            "signer.elsewhere.cfr.to_review_enabled",
        ]
        .into_iter(),
    );
    let mut review = Review::new(true);
    review.add("work.cfr", false).unwrap();
    review.add(r"work.quick-(\w+)", false).unwrap();
    resources.set_review(review);

    let shown = resources.shown(&[
        (id("work"), id("quick-fr")),
        (id("work"), id("cfr")),
        (id("work"), id("plain")),
        (id("elsewhere"), id("quick-fr")),
    ]);

    let place =
        |bucket: &str, collection: Value| json!({"bucket": bucket, "collection": collection});
    let triple = |collection: Value| {
        json!({
            "source": place("work", collection.clone()),
            "preview": place("preview", collection.clone()),
            "destination": place("main", collection),
        })
    };
    let reviewed = |mut resource: Value, enabled: bool| {
        resource["to_review_enabled"] = enabled.into();
        resource
    };
    assert_eq!(
        shown,
        json!([
            triple(Value::Null),
            {"source": place("work", "own".into()), "destination": place("other", "own".into())},
            reviewed(triple("cfr".into()), false),
            reviewed(triple("quick-fr".into()), false),
        ])
    );
}
