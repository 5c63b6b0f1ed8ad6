"""Resources are told apart by identity: of two that name the same, neither would find what is kept under the other."""

from deepseek_operator.core.resources import KUBERNETES, OPTIONAL, Ref
from deepseek_operator.kinds.registry import KINDS


def test_no_resource_is_made_twice() -> None:
    every = {*KUBERNETES, *OPTIONAL, *KINDS.owners, *KINDS.children, *KINDS.watched}
    assert len({(one.api_version, one.kind) for one in every}) == len(every)


def test_references_are_in_the_order_of_their_resources_and_names() -> None:
    refs = [Ref(one, name) for one in (*KUBERNETES, *OPTIONAL, *KINDS.owners) for name in ("b", "a")]
    said = [(ref.resource.api_version, ref.resource.kind, ref.resource.plural, ref.name) for ref in sorted(refs)]
    assert said == sorted(said)
