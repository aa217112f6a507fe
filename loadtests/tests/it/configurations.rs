//! The configurations of `deploy/` are accepted by what they are for, where that is installed. What they
//! do is tried by `make cdn`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

/// A directory of this test's own.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("deploy-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Where a server is, which lies outside of most users' `PATH`; `None` where it is not installed.
fn installed(name: &str) -> Option<PathBuf> {
    let directories = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = directories.iter().map(|at| Path::new(at).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("{name} is not installed: its configuration was not checked");
    }
    found
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn varnish_compiles_its_configuration() {
    let Some(varnishd) = installed("varnishd") else { return };
    let scratch = Scratch::new();
    scratch
        .write("countersign.vcl", &fs::read_to_string(deploy("varnish/countersign.vcl")).unwrap());
    // Names of the compose file are known nowhere else.
    let backends = fs::read_to_string(deploy("varnish/backends.vcl")).unwrap();
    let backends = backends.replace("\"reader1\"", "\"127.0.0.1\"");
    let backends = backends.replace("\"reader2\"", "\"127.0.0.1\"").replace("\"writer\";", "");
    scratch.write("backends.vcl", &backends);

    let at = scratch.0.to_str().unwrap();
    succeeds(Command::new(varnishd).args([
        "-C",
        "-n",
        &format!("{at}/n"),
        "-p",
        &format!("vcl_path={at}"),
        "-f",
        &format!("{at}/countersign.vcl"),
    ]));
}

#[test]
fn nginx_accepts_its_configuration() {
    let Some(nginx) = installed("nginx") else { return };
    let scratch = Scratch::new();
    let at = scratch.0.to_str().unwrap();
    let front = fs::read_to_string(deploy("nginx/reader.conf")).unwrap();
    let front = front.replace("/var/cache/nginx/countersign", &format!("{at}/cache"));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {at}/{name};"));
    let text = format!(
        "pid {at}/pid; error_log {at}/log; events {{}} http {{ access_log off; {} {} }}",
        temporary.join(" "),
        // The check binds it, and nobody needs to be root for that.
        front.replace("listen 80;", &format!("listen unix:{at}/socket;")),
    );
    let file = scratch.write("nginx.conf", &text);

    succeeds(Command::new(nginx).args(["-t", "-c", &file, "-e", &format!("{at}/log")]));
}

#[test]
fn the_function_of_cloudfront_normalises_as_specified() {
    let Some(node) = installed("node") else { return };

    succeeds(Command::new(node).arg(deploy("cloudfront/normalise-test.mjs")));
}

#[test]
fn prometheus_accepts_the_alert_rules() {
    let Some(promtool) = installed("promtool") else { return };
    let rules = Command::new(promtool)
        .args(["test", "rules", "alerts-test.yml"])
        .current_dir(deploy("prometheus"))
        .output()
        .unwrap();

    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stdout));
}
