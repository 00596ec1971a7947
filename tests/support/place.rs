//! Where a replica is: what the programs have to be told, and what is there, seen without them.

use std::path::{Path, PathBuf};

use super::proxy::Proxy;
use super::s3::S3Server;
use super::sftp::SftpServer;

/// The place.
#[derive(Clone)]
pub(crate) enum Place {
    Directory(PathBuf),
    S3(OnS3),
    Sftp(OnSftp),
}

/// What Litestream makes of a URL without a path, and so do we.
const TOP: &str = ".";

/// A path in the bucket of a server.
#[derive(Clone)]
pub(crate) struct OnS3 {
    server: S3Server,
    /// Where the programs find the server.
    endpoint: String,
    path: String,
    /// The bucket stands in the name of the host.
    virtual_host: bool,
}

/// A directory of the user of an SSH server.
#[derive(Clone)]
pub(crate) struct OnSftp {
    server: SftpServer,
    /// Where the programs find the server.
    port: u16,
    /// The directory's name below [`SftpServer::place`].
    name: String,
}

impl Place {
    /// A new place on this server.
    pub(crate) fn on_sftp(server: &SftpServer) -> Place {
        Place::Sftp(OnSftp {
            port: server.port(),
            name: server.fresh_name(),
            server: server.clone(),
        })
    }

    /// A new place on this server.
    pub(crate) fn on(server: &S3Server) -> Place {
        Place::S3(OnS3 {
            endpoint: server.endpoint(),
            path: server.fresh_path(),
            server: server.clone(),
            virtual_host: false,
        })
    }

    /// The bucket itself, without a path in it.
    pub(crate) fn at_the_top_of(server: &S3Server) -> Place {
        Place::on(server).changed(|place| place.path = TOP.to_string())
    }

    /// The same, with the programs going through this proxy.
    pub(crate) fn through(self, proxy: &Proxy) -> Place {
        if let Place::Sftp(place) = self {
            let port = proxy.port();
            return Place::Sftp(OnSftp { port, ..place });
        }
        let endpoint = match self.s3().virtual_host {
            true => proxy.vhost_endpoint(),
            false => proxy.endpoint(),
        };
        self.changed(|place| place.endpoint = endpoint)
    }

    /// The same, with the bucket in the name of the host. To be said before [`Place::through`].
    pub(crate) fn in_virtual_host(self) -> Place {
        let endpoint = self.s3().server.vhost_endpoint();
        self.changed(|place| {
            place.virtual_host = true;
            place.endpoint = endpoint;
        })
    }

    /// Another place beside it, for another replica.
    pub(crate) fn beside(&self, name: &str) -> Place {
        match self {
            Place::Directory(path) => Place::Directory(path.with_file_name(name)),
            Place::S3(_) => self.clone().changed(|place| {
                place.path += "-";
                place.path += name;
            }),
            Place::Sftp(place) => Place::Sftp(OnSftp {
                name: format!("{}-{name}", place.name),
                ..place.clone()
            }),
        }
    }

    /// As a URL.
    pub(crate) fn url(&self) -> String {
        match self {
            Place::Directory(path) => format!("file://{}", path.display()),
            Place::S3(place) => format!(
                "{}?endpoint={}&region={}&forcePathStyle={}",
                place.short_url(),
                place.endpoint,
                place.server.region(),
                !place.virtual_host
            ),
            Place::Sftp(place) => {
                let (user, password) = (place.server.user(), place.server.password());
                let host = format!("127.0.0.1:{}", place.port);
                format!("sftp://{user}:{password}@{host}{}", place.path())
            }
        }
    }

    /// How ours names it in messages, which may go on with the server.
    pub(crate) fn location(&self) -> String {
        match self {
            Place::Directory(path) => path.display().to_string(),
            Place::S3(place) => place.short_url(),
            Place::Sftp(place) => {
                let user = place.server.user();
                format!("sftp://{user}@127.0.0.1:{}{}", place.port, place.path())
            }
        }
    }

    /// As settings of a replica in a configuration, separated by commas; with the keys.
    pub(crate) fn settings(&self) -> String {
        match self {
            Place::Directory(path) => format!("type: file, path: \"{}\"", path.display()),
            Place::S3(place) => format!(
                "{}, endpoint: \"{}\", region: {}, access-key-id: {}, secret-access-key: {}, \
                 force-path-style: {}",
                match place.path.as_str() {
                    TOP => format!("url: \"{}\"", place.short_url()),
                    path => format!("type: s3, bucket: {}, path: {path}", place.server.bucket()),
                },
                place.endpoint,
                place.server.region(),
                place.server.access_key_id(),
                place.server.secret_access_key(),
                !place.virtual_host
            ),
            Place::Sftp(place) => format!(
                "type: sftp, host: \"127.0.0.1:{}\", user: {}, key-path: \"{}\", host-key: \"{}\", path: \"{}\"",
                place.port,
                place.server.user(),
                place.server.key().display(),
                place.server.host_key(),
                place.path(),
            ),
        }
    }

    /// What the environment has to say to a program that is given the configuration: whom to trust.
    pub(crate) fn roots(&self) -> Vec<(&'static str, String)> {
        let ca_file = match self {
            Place::Directory(_) | Place::Sftp(_) => None,
            Place::S3(place) => place.server.ca_file(),
        };
        let variable = |path: PathBuf| ("SSL_CERT_FILE", path.display().to_string());
        ca_file.into_iter().map(variable).collect()
    }

    /// What the environment has to say to a program that is given the URL: the keys too.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = self.roots();
        match self {
            Place::Directory(_) => {}
            Place::S3(OnS3 { server, .. }) => {
                variables.push(("AWS_ACCESS_KEY_ID", server.access_key_id()));
                variables.push(("AWS_SECRET_ACCESS_KEY", server.secret_access_key()));
            }
            Place::Sftp(place) => variables.push(("PATH", place.server.path_of_user(place.port))),
        }
        variables
    }

    /// The directory.
    #[track_caller]
    pub(crate) fn directory(&self) -> &Path {
        match self {
            Place::Directory(path) => path,
            Place::S3(_) | Place::Sftp(_) => panic!("this replica is not in a directory"),
        }
    }

    /// The names of the files of one level, in order.
    #[track_caller]
    pub(crate) fn files(&self, level: u8) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Place::Directory(path) => names_in(&path.join(format!("ltx/{level}"))),
            Place::Sftp(place) => names_in(&place.local().join(format!("ltx/{level}"))),
            Place::S3(place) => {
                let prefix = place.key(level, "");
                let objects = place.server.objects(&prefix);
                let name = |(key, _): (String, u64)| key[prefix.len()..].to_string();
                objects.into_iter().map(name).collect()
            }
        };
        names.retain(|name| name.ends_with(".ltx"));
        names.sort();
        names
    }

    /// The TXIDs at which some file ends, in order.
    pub(crate) fn txids(&self) -> Vec<u64> {
        let mut txids: Vec<_> = (0..=9)
            .flat_map(|level| self.files(level))
            .map(|name| u64::from_str_radix(&name[17..33], 16).unwrap())
            .collect();
        txids.sort();
        txids.dedup();
        txids
    }

    /// The newest TXID; 0 when there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.txids().last().copied().unwrap_or(0)
    }

    /// The bytes of a file.
    #[track_caller]
    pub(crate) fn read(&self, level: u8, name: &str) -> Vec<u8> {
        match self {
            Place::Directory(path) => std::fs::read(file(path, level, name)).unwrap(),
            Place::Sftp(place) => std::fs::read(file(&place.local(), level, name)).unwrap(),
            Place::S3(place) => place.server.get(&place.key(level, name)),
        }
    }

    /// Puts a file there, or other bytes into one.
    #[track_caller]
    pub(crate) fn write(&self, level: u8, name: &str, bytes: &[u8]) {
        match self {
            Place::Directory(path) => put(&file(path, level, name), bytes),
            Place::Sftp(place) => {
                put(&file(&place.local(), level, name), bytes);
                place.server.give_to_user(&place.local());
            }
            Place::S3(place) => place.server.put(&place.key(level, name), bytes),
        }
    }

    /// Removes a file.
    #[track_caller]
    pub(crate) fn remove(&self, level: u8, name: &str) {
        match self {
            Place::Directory(path) => std::fs::remove_file(file(path, level, name)).unwrap(),
            Place::Sftp(place) => std::fs::remove_file(file(&place.local(), level, name)).unwrap(),
            Place::S3(place) => place.server.delete(&place.key(level, name)),
        }
    }

    /// The place on S3.
    #[track_caller]
    pub(crate) fn s3(&self) -> &OnS3 {
        match self {
            Place::S3(place) => place,
            Place::Directory(_) | Place::Sftp(_) => panic!("{} is not on S3", self.location()),
        }
    }

    /// The place on SFTP.
    #[track_caller]
    pub(crate) fn sftp(&self) -> &OnSftp {
        match self {
            Place::Sftp(place) => place,
            Place::Directory(_) | Place::S3(_) => panic!("{} is not on SFTP", self.location()),
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut OnS3)) -> Place {
        match &mut self {
            Place::S3(place) => change(place),
            Place::Directory(_) | Place::Sftp(_) => panic!("{} is not on S3", self.location()),
        }
        self
    }
}

impl OnS3 {
    /// The server.
    pub(crate) fn server(&self) -> &S3Server {
        &self.server
    }

    /// The path in the bucket.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Bucket and path as a URL.
    fn short_url(&self) -> String {
        let bucket = self.server.bucket();
        match self.path.as_str() {
            TOP => format!("s3://{bucket}"),
            path => format!("s3://{bucket}/{path}"),
        }
    }

    /// The key of a file; without a name, what the keys of its level begin with.
    pub(crate) fn key(&self, level: u8, name: &str) -> String {
        format!("{}/{level:04x}/{name}", self.path)
    }
}

impl OnSftp {
    /// The server.
    pub(crate) fn server(&self) -> &SftpServer {
        &self.server
    }

    /// The directory as the server's user sees it, absolute.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.server.place(), self.name)
    }

    /// The same as this machine sees it.
    pub(crate) fn local(&self) -> PathBuf {
        self.server.local().join(&self.name)
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
        Err(_) => Vec::new(),
    }
}

fn put(file: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
}

fn file(directory: &Path, level: u8, name: &str) -> PathBuf {
    directory.join(format!("ltx/{level}/{name}"))
}
