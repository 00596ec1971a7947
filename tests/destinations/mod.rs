//! One database with several replicas: each is as good as an only one, and none holds back another.

mod choice;
mod far_apart;
mod outages;

use crate::support::place::Place;
use crate::support::proxy::Proxy;
use crate::support::rig::Rig;
use crate::support::s3::{Kind, S3Server, Tls};

/// A database with a replica in a directory and one on S3, and the proxy before that.
fn directory_and_s3() -> (Rig, Proxy) {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_others([Place::on(&server).through(&proxy)]);
    (rig, proxy)
}

/// The uploads of syncs that have passed, with their answers.
fn stored(proxy: &Proxy) -> Vec<(String, u16)> {
    let is_upload =
        |(target, _): &(String, u16)| target.starts_with("PUT ") && target.contains("/0000/");
    proxy.requests().into_iter().filter(is_upload).collect()
}
