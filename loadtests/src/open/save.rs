//! `save`: the reader's own bytes as files, and nginx to serve them at the same URLs.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use hyper::{Method, header::CONTENT_ENCODING};

use super::{
    arguments::SaveArguments,
    catalogue::{Catalogue, MONITOR},
    mix,
    plan::Plan,
    server::Server,
};
use crate::failure::Failure;

/// Saves what every scenario asks for, plain and compressed.
///
/// # Errors
///
/// [`Failure`] when the server does not answer, or a file cannot be written.
pub(crate) async fn run(arguments: &SaveArguments) -> Result<(), Failure> {
    let server = Server::new("saved", &arguments.target)?;
    let catalogue = Catalogue::read(&server.client).await?;
    let root = &arguments.directory;
    let told = |error: std::io::Error| Failure::Usage(format!("{}: {error}", root.display()));
    let files = root.join("files");
    fs::create_dir_all(&files).map_err(told)?;
    let newest = &catalogue.collections[0];
    let times = [newest.before(1), newest.timestamp];
    let plans = [
        mix::fleet(&catalogue, &server.prefix),
        mix::herd(&catalogue, &server.prefix, 0, times),
        mix::first_start(&catalogue, &server.prefix),
        mix::deltas(&catalogue, &server.prefix, arguments.seed),
    ];
    let mut names = BTreeMap::new();
    for path in paths(&catalogue, &plans) {
        let name = format!("f{}.json", names.len());
        for (coding, suffix) in [("identity", ""), ("gzip", ".gz")] {
            let headers = [("accept-encoding", coding)];
            let answer = server.client.send(Method::GET, &path, &headers, None).await?.success()?;
            let is_gzip = answer.headers.get(CONTENT_ENCODING).is_some_and(|it| it == "gzip");
            // A small answer may not be worth compressing: then there is no such file.
            if is_gzip == (coding == "gzip") {
                fs::write(files.join(format!("{name}{suffix}")), &answer.body).map_err(told)?;
            }
        }
        names.insert(format!("{}{path}", server.prefix), name);
    }
    let configuration = nginx(root, arguments.port, &names);
    fs::write(root.join("nginx.conf"), configuration).map_err(told)?;
    println!("{} URLs saved in {}", names.len(), root.display());
    Ok(())
}

/// Everything that a scenario asks for, and what reading the catalogue asks for.
fn paths(catalogue: &Catalogue, plans: &[Plan]) -> Vec<String> {
    let calls = plans.iter().flat_map(Plan::calls).map(|call| call.path.clone());
    let listed = catalogue
        .collections
        .iter()
        .map(|collection| format!("{}?_expected={}", collection.path(), collection.timestamp));
    let mut paths: Vec<String> =
        calls.chain(listed).chain([format!("{MONITOR}?_expected=0")]).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A static file server at its best: no log, one worker as the reader's peers have one core, files
/// kept open, and compressed beforehand.
fn nginx(root: &Path, port: u16, names: &BTreeMap<String, String>) -> String {
    let directory = root.display();
    let mut map = String::new();
    for (url, name) in names {
        let _ = writeln!(map, "    \"{url}\" /{name};");
    }
    format!(
        "# Made by `countersign-load open save`: static files at the reader's URLs.
daemon off;
worker_processes auto;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  gzip_static on;
  open_file_cache max=4096 inactive=1h;
  open_file_cache_valid 1h;
  keepalive_requests 1000000000;
  types {{ application/json json; }}
  client_body_temp_path {directory}/tmp;
  proxy_temp_path {directory}/tmp;
  fastcgi_temp_path {directory}/tmp;
  uwsgi_temp_path {directory}/tmp;
  scgi_temp_path {directory}/tmp;
  map_hash_max_size 16384;
  map_hash_bucket_size 512;
  map $request_uri $saved {{
    default /none;
{map}  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {directory}/files;
    location / {{ try_files $saved =404; }}
  }}
}}
"
    )
}
