use serde_json::json;

use super::{Kind, Node, Status};

#[test]
fn kinds_and_statuses_that_are_not_known_are_taken_for_others() {
    for (text, kind) in [
        ("", Kind::Typical),
        ("connect-proxy", Kind::ConnectProxy),
        ("mesh-gateway", Kind::MeshGateway),
        ("terminating-gateway", Kind::TerminatingGateway),
        ("ingress-gateway", Kind::Other),
        ("api-gateway", Kind::Other),
    ] {
        assert_eq!(serde_json::from_value::<Kind>(json!(text)).unwrap(), kind, "{text}");
    }
    for (text, status) in [
        ("passing", Status::Passing),
        ("warning", Status::Warning),
        ("critical", Status::Critical),
        ("maintenance", Status::Unknown),
        ("", Status::Unknown),
    ] {
        assert_eq!(serde_json::from_value::<Status>(json!(text)).unwrap(), status, "{text}");
    }
}

#[test]
fn nothing_has_to_be_there_but_what_is_there_has_to_fit() {
    assert_eq!(serde_json::from_value::<Node>(json!({})).unwrap(), Node::default());
    let nulls = json!({"Node": null, "Address": null, "Services": null, "Checks": null,
        "TaggedAddresses": null, "Unknown": {"deep": [1, 2]}});
    assert_eq!(serde_json::from_value::<Node>(nulls).unwrap(), Node::default());
    assert!(serde_json::from_value::<Node>(json!({"Services": {}})).is_err());
    assert!(serde_json::from_value::<Node>(json!({"Services": [{"Port": "80"}]})).is_err());
}
