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

/// How often the levels from 1 on are written: each holds some ten files of the one below.
pub const LEVELS: [Duration; 3] = [
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(60 * 60),
];

/// How often a snapshot is taken of a database that changes.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How far back every state can be restored.
pub const SNAPSHOT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// How long each sync can be restored by itself, after it was merged into level 1.
pub const L0_RETENTION: Duration = Duration::from_secs(5 * 60);

/// The least time between two deletions.
pub const L0_RETENTION_CHECK: Duration = Duration::from_secs(15);

/// How long the last upload at shutdown is tried again; an init system kills after 90 s or so.
pub const SHUTDOWN_SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two such tries.
pub const SHUTDOWN_SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// Where the configuration is looked for, in this order, when neither `-config` nor `$LITESTREAM_CONFIG`
/// names one. Our own name first, so that both programs can be installed side by side.
pub const CONFIG_FILES: [&str; 2] = ["/etc/walbrook.yml", "/etc/litestream.yml"];
