"""Resources are told apart by what they are called, and are in that order."""

from deepseek_operator.core.resources import KUBERNETES, OPTIONAL, SERVICE, Ref, Resource
from deepseek_operator.kinds.registry import KINDS


def test_two_that_are_called_the_same_are_one() -> None:
    again = Resource(SERVICE.api_version, SERVICE.kind, SERVICE.plural, is_read_whole=True)
    assert {SERVICE: "found"}[again] == "found"
    assert again == SERVICE
    assert Resource("v2", SERVICE.kind, SERVICE.plural) != SERVICE
    assert SERVICE.plural != SERVICE


def test_references_are_in_the_order_of_their_resources_and_names() -> None:
    refs = [Ref(one, name) for one in (*KUBERNETES, *OPTIONAL, *KINDS.owners) for name in ("b", "a")]
    said = [(ref.resource.api_version, ref.resource.kind, ref.resource.plural, ref.name) for ref in sorted(refs)]
    assert said == sorted(said)
