//! Which operation a request asks for. One table for all services: their paths do not collide.

use http::Method;

use crate::call::Call;

/// An operation by its name in the API reference, with the identifiers of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the API reference's own")]
pub enum Operation {
    ListRegionSubscriptions {
        tenancy: String,
    },
    GetTenancy {
        tenancy: String,
    },
    ListCompartments,
    GetCompartment {
        compartment: String,
    },
    ListEvents,
    GetConfiguration,
    GetStream {
        stream: String,
    },
    ListStreams,
    PutMessages {
        stream: String,
    },
    CreateCursor {
        stream: String,
    },
    CreateGroupCursor {
        stream: String,
    },
    GetMessages {
        stream: String,
    },
    ConsumerCommit {
        stream: String,
    },
    ConsumerHeartbeat {
        stream: String,
    },
    PublishMessage {
        topic: String,
    },
    GetTopic {
        topic: String,
    },
    GetNamespace,
    GetBucket {
        namespace: String,
        bucket: String,
    },
    ListObjects {
        namespace: String,
        bucket: String,
    },
    GetObject {
        namespace: String,
        bucket: String,
        object: String,
    },
    HeadObject {
        namespace: String,
        bucket: String,
        object: String,
    },
    PutObject {
        namespace: String,
        bucket: String,
        object: String,
    },
    DeleteObject {
        namespace: String,
        bucket: String,
        object: String,
    },
    RenameObject {
        namespace: String,
        bucket: String,
    },
    GetSecretBundle {
        secret: String,
    },
    GetSecretBundleByName,
    ListSecretBundleVersions {
        secret: String,
    },
    GetFunction {
        function: String,
    },
    InvokeFunction {
        function: String,
    },
    PostMetricData,
    /// No operation of an API: a service emits an event, and rules deliver it. Its target is the `resourceId`, its body
    /// the event.
    EmitEvent {
        event_type: String,
    },
    /// A route of the API gateway: not signed.
    Gateway {
        path: String,
    },
}

impl Operation {
    /// The bare name, as faults and counters use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ListRegionSubscriptions { .. } => "ListRegionSubscriptions",
            Self::GetTenancy { .. } => "GetTenancy",
            Self::ListCompartments => "ListCompartments",
            Self::GetCompartment { .. } => "GetCompartment",
            Self::ListEvents => "ListEvents",
            Self::GetConfiguration => "GetConfiguration",
            Self::GetStream { .. } => "GetStream",
            Self::ListStreams => "ListStreams",
            Self::PutMessages { .. } => "PutMessages",
            Self::CreateCursor { .. } => "CreateCursor",
            Self::CreateGroupCursor { .. } => "CreateGroupCursor",
            Self::GetMessages { .. } => "GetMessages",
            Self::ConsumerCommit { .. } => "ConsumerCommit",
            Self::ConsumerHeartbeat { .. } => "ConsumerHeartbeat",
            Self::PublishMessage { .. } => "PublishMessage",
            Self::GetTopic { .. } => "GetTopic",
            Self::GetNamespace => "GetNamespace",
            Self::GetBucket { .. } => "GetBucket",
            Self::ListObjects { .. } => "ListObjects",
            Self::GetObject { .. } => "GetObject",
            Self::HeadObject { .. } => "HeadObject",
            Self::PutObject { .. } => "PutObject",
            Self::DeleteObject { .. } => "DeleteObject",
            Self::RenameObject { .. } => "RenameObject",
            Self::GetSecretBundle { .. } => "GetSecretBundle",
            Self::GetSecretBundleByName => "GetSecretBundleByName",
            Self::ListSecretBundleVersions { .. } => "ListSecretBundleVersions",
            Self::GetFunction { .. } => "GetFunction",
            Self::InvokeFunction { .. } => "InvokeFunction",
            Self::PostMetricData => "PostMetricData",
            Self::EmitEvent { .. } => "EmitEvent",
            Self::Gateway { .. } => "Gateway",
        }
    }

    /// PutObject and PutMessages are signed by the official SDKs without a body digest.
    pub(crate) fn may_be_signed_without_body(&self) -> bool {
        matches!(self, Self::PutObject { .. } | Self::PutMessages { .. })
    }
}

/// Why a request reaches no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// 404 `NotFound`.
    Path,
    /// 405 `MethodNotAllowed`.
    Method,
}

/// Finds the operation of `call`.
pub(crate) fn route(call: &Call) -> Result<Operation, NoRoute> {
    let segments: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let own = |text: &&str| (*text).to_owned();
    // Each arm lists the methods that its path knows; another method on a known path is 405, not 404.
    let methods: Vec<(Method, Operation)> = match segments.as_slice() {
        ["20160918", "tenancies", id, "regionSubscriptions"] => {
            vec![(Method::GET, Operation::ListRegionSubscriptions { tenancy: own(id) })]
        }
        ["20160918", "tenancies", id] => vec![(Method::GET, Operation::GetTenancy { tenancy: own(id) })],
        ["20160918", "compartments"] => vec![(Method::GET, Operation::ListCompartments)],
        ["20160918", "compartments", id] => vec![(Method::GET, Operation::GetCompartment { compartment: own(id) })],
        ["20190901", "auditEvents"] => vec![(Method::GET, Operation::ListEvents)],
        ["20190901", "configuration"] => vec![(Method::GET, Operation::GetConfiguration)],
        ["20180418", "streams"] => vec![(Method::GET, Operation::ListStreams)],
        ["20180418", "streams", id] => vec![(Method::GET, Operation::GetStream { stream: own(id) })],
        ["20180418", "streams", id, "messages"] => vec![
            (Method::GET, Operation::GetMessages { stream: own(id) }),
            (Method::POST, Operation::PutMessages { stream: own(id) }),
        ],
        ["20180418", "streams", id, "cursors"] => vec![(Method::POST, Operation::CreateCursor { stream: own(id) })],
        ["20180418", "streams", id, "groupCursors"] => {
            vec![(Method::POST, Operation::CreateGroupCursor { stream: own(id) })]
        }
        ["20180418", "streams", id, "commit"] => vec![(Method::POST, Operation::ConsumerCommit { stream: own(id) })],
        ["20180418", "streams", id, "heartbeat"] => {
            vec![(Method::POST, Operation::ConsumerHeartbeat { stream: own(id) })]
        }
        ["20181201", "topics", id, "messages"] => vec![(Method::POST, Operation::PublishMessage { topic: own(id) })],
        ["20181201", "topics", id] => vec![(Method::GET, Operation::GetTopic { topic: own(id) })],
        ["n"] | ["n", ""] => vec![(Method::GET, Operation::GetNamespace)],
        ["n", namespace, "b", bucket] => {
            vec![(Method::GET, Operation::GetBucket { namespace: own(namespace), bucket: own(bucket) })]
        }
        ["n", namespace, "b", bucket, "o"] => {
            vec![(Method::GET, Operation::ListObjects { namespace: own(namespace), bucket: own(bucket) })]
        }
        ["n", namespace, "b", bucket, "actions", "renameObject"] => {
            vec![(Method::POST, Operation::RenameObject { namespace: own(namespace), bucket: own(bucket) })]
        }
        ["n", namespace, "b", bucket, "o", object @ ..] => {
            let (namespace, bucket, object) = (own(namespace), own(bucket), object.join("/"));
            let copy = || (namespace.clone(), bucket.clone(), object.clone());
            let named = |make: fn((String, String, String)) -> Operation| make(copy());
            vec![
                (Method::GET, named(|(namespace, bucket, object)| Operation::GetObject { namespace, bucket, object })),
                (
                    Method::HEAD,
                    named(|(namespace, bucket, object)| Operation::HeadObject { namespace, bucket, object }),
                ),
                (Method::PUT, named(|(namespace, bucket, object)| Operation::PutObject { namespace, bucket, object })),
                (
                    Method::DELETE,
                    named(|(namespace, bucket, object)| Operation::DeleteObject { namespace, bucket, object }),
                ),
            ]
        }
        ["20190301", "secretbundles", "actions", "getByName"] => {
            vec![(Method::POST, Operation::GetSecretBundleByName)]
        }
        ["20190301", "secretbundles", id] => vec![(Method::GET, Operation::GetSecretBundle { secret: own(id) })],
        ["20190301", "secretbundles", id, "versions"] => {
            vec![(Method::GET, Operation::ListSecretBundleVersions { secret: own(id) })]
        }
        // Both versions are in the field: 20260325 in the newest Python SDK, 20181201 elsewhere.
        ["20181201" | "20260325", "functions", id] => {
            vec![(Method::GET, Operation::GetFunction { function: own(id) })]
        }
        ["20181201" | "20260325", "functions", id, "actions", "invoke"] => {
            vec![(Method::POST, Operation::InvokeFunction { function: own(id) })]
        }
        ["20180401", "metrics"] => vec![(Method::POST, Operation::PostMetricData)],
        ["gateway", rest @ ..] => {
            vec![(call.method.clone(), Operation::Gateway { path: format!("/{}", rest.join("/")) })]
        }
        _ => return Err(NoRoute::Path),
    };
    methods
        .into_iter()
        .find_map(|(method, operation)| (method == call.method).then_some(operation))
        .ok_or(NoRoute::Method)
}
