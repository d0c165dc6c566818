from vibro.testing import parametrize_with_checks
from vibro_envelope import Envelope, EnvelopeSpectrum


@parametrize_with_checks([Envelope, EnvelopeSpectrum])
def test_conformance(check):
    check()


def test_it_finds_impacts(vibro_host, vibro_run):
    import vibro_envelope

    vibro_host.register_module("vibro_envelope", vibro_envelope)
    _, _, _, verdict = vibro_run({"detectors": [{"use": "envelope_excess"}]})
    assert verdict.score[100:].min() > verdict.score[:100].max()
