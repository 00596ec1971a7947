//! What holds where the configuration says nothing. The values are Litestream's, so that a shared file means
//! the same to both; each has its unit and its reason.

use std::time::Duration;

/// The least time between two uploads; a change after quiet is sent at once.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two looks at a database that changes all the time.
pub const MONITOR_INTERVAL: Duration = Duration::from_secs(1);

/// The longest that changes wait in the WAL before they are written back, while there are any.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// How long a lock that the application holds is waited for.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Pages in the WAL from which on it is written back; SQLite's own automatic checkpoint has the same.
pub const MIN_CHECKPOINT_PAGES: u32 = 1000;

/// Pages in the WAL from which on its file is cut: 500 MB of the most common page size, 4096 bytes,
/// with frame headers.
pub const TRUNCATE_PAGES: u32 = 121_359;

/// How long the last upload at shutdown is tried again; an init system kills after 90 s or so.
pub const SHUTDOWN_SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two such tries.
pub const SHUTDOWN_SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes of uploads held in memory for all databases together: one part of the usual 5 MiB and room for small
/// files beside it. Raised where a larger part size is configured.
pub const UPLOAD_MEMORY: u64 = 8 << 20;

/// Where the configuration is looked for, in this order, when neither `-config` nor `$LITESTREAM_CONFIG`
/// names one. Our own name first, so that both programs can be installed side by side.
pub const CONFIG_FILES: [&str; 2] = ["/etc/walbrook.yml", "/etc/litestream.yml"];
