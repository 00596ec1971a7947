//! Storages around another one, which do something of their own to some of the calls: the others are passed on.

/// The methods of `Storage` that are passed on to a field.
macro_rules! forward {
    ($inner:ident: $($method:ident),+) => { $($crate::support::forward::forward!(@$method $inner);)+ };
    (@location $inner:ident) => {
        fn location(&self) -> String {
            self.$inner.location()
        }
    };
    (@list $inner:ident) => {
        fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
            self.$inner.list(level)
        }
    };
    (@read $inner:ident) => {
        fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
            self.$inner.read(name, range)
        }
    };
    (@write $inner:ident) => {
        fn write(
            &self,
            name: FileName,
            created: walbrook::units::Timestamp,
            content: &dyn walbrook::storage::Content,
        ) -> Result<u64, StorageError> {
            self.$inner.write(name, created, content)
        }
    };
    (@delete $inner:ident) => {
        fn delete(&self, names: &[FileName]) -> Result<(), StorageError> {
            self.$inner.delete(names)
        }
    };
    (@delete_all $inner:ident) => {
        fn delete_all(&self) -> Result<(), StorageError> {
            self.$inner.delete_all()
        }
    };
}

/// The methods by which `Storage` would be changed, for one that is only to be read.
macro_rules! is_only_read {
    () => {
        fn write(
            &self,
            _: FileName,
            _: walbrook::units::Timestamp,
            _: &dyn walbrook::storage::Content,
        ) -> Result<u64, StorageError> {
            unreachable!("a restore writes nothing")
        }
        fn delete(&self, _: &[FileName]) -> Result<(), StorageError> {
            unreachable!("a restore deletes nothing")
        }
        fn delete_all(&self) -> Result<(), StorageError> {
            unreachable!("a restore deletes nothing")
        }
    };
}

pub(crate) use {forward, is_only_read};
