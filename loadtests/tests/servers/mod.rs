//! A writer and a reader in this process, each on a port of its own. What the test binaries share.

use std::{path::Path, sync::Arc};

use shared::{config::Layers, http::serve, testing::TestClient};
use tokio::{net::TcpListener, task::JoinSet};

/// A setting's name and value.
pub(crate) type Setting<'a> = (&'a str, &'a str);

/// A writer that signs with the key in `keys`, with these settings besides, the later of two counting.
pub(crate) async fn start_writer<'a>(
    url: &str,
    keys: &Path,
    settings: impl IntoIterator<Item = Setting<'a>>,
    tasks: &mut JoinSet<()>,
) -> (TestClient, Arc<writer::app::App>) {
    let mut layers = Layers::new(writer::config::DEFAULTS);
    let key = keys.join("private-key.pem");
    for (name, value) in [
        ("storage_url", url),
        ("userid_hmac_secret", "some-secret"),
        ("multiauth.policies", "basicauth"),
        ("signer.ecdsa.private_key", key.to_str().unwrap()),
    ] {
        layers.set(name, value);
    }
    for (name, value) in settings {
        layers.set(name, value);
    }
    let config = writer::config::Config::read(&mut layers).unwrap();
    let app = Arc::new(writer::app::App::new(config).unwrap());
    let (limits, metrics) = (app.config.listen.limits.clone(), app.metrics.http.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = writer::Writer::new(app.clone());
    let serving = serve(listener, service, limits, metrics, std::future::pending());
    tasks.spawn(async move { serving.await.unwrap() });
    (TestClient::new(address), app)
}

/// A reader that follows a database, and may not have loaded it yet.
pub(crate) async fn start_reader<'a>(
    url: &str,
    settings: impl IntoIterator<Item = Setting<'a>>,
    tasks: &mut JoinSet<()>,
) -> TestClient {
    let mut layers = reader::config::Config::layers(None, std::iter::empty(), None);
    layers.set("storage_url", url);
    for (name, value) in settings {
        layers.set(name, value);
    }
    let config = reader::config::Config::read(&mut layers).unwrap();
    let app = reader::app::App::new(config).unwrap();
    let limits = app.config.limits.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving =
        reader::server::serve(listener, app.clone(), limits, None, std::future::pending());
    tasks.spawn(reader::versions::follow(app));
    tasks.spawn(async move { serving.await.unwrap() });
    TestClient::new(address)
}
