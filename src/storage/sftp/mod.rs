//! Replicas on SFTP servers: `<path>/ltx/<level>/<min>-<max>.ltx`, as in a directory, the file's modification time being
//! that in its LTX header, cut to seconds.

mod settings;

pub use settings::SftpSettings;
