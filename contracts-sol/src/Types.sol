// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// What a contract of the tree is. A key has exactly one kind in the whole tree.
enum Kind {
    None,
    Root,
    Administrator,
    TUser,
    Resource,
    Bitacora
}

/// How something was done: the four operations of the audit model, which the gateway writes as
/// POST, GET, PUT and DELETE.
enum Operation {
    Create,
    Read,
    Update,
    Delete
}
