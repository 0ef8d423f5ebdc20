"""Why an attempt was denied: fine for the audit log, coarse for the terminal.

Guarantee: a :class:`Reason` never tells an unknown account, a face that does not
match, a missing consent and a locked account apart. The order of the members of
:class:`Denial` is the order of precedence: where several apply, the first is named.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """What a terminal is told, and may show to the person."""

    TERMINAL_NOT_ACCEPTED = "terminal_not_accepted"
    EVIDENCE_NOT_ACCEPTED = "evidence_not_accepted"
    CHALLENGE_NOT_ACCEPTED = "challenge_not_accepted"
    LIVENESS_NOT_SHOWN = "liveness_not_shown"
    NOT_VERIFIED = "not_verified"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    REFUSED_FOR_NOW = "refused_for_now"
    NOT_PERMITTED = "not_permitted"
    OUTSIDE_SCHEDULE = "outside_schedule"
    DOOR_CLOSED = "door_closed"
    SECOND_PERSON_MISSING = "second_person_missing"
    ENROLMENT_NOT_ACCEPTED = "enrolment_not_accepted"
    TOO_MANY_REQUESTS = "too_many_requests"
    UNAVAILABLE = "unavailable"


class Denial(StrEnum):
    """What the audit log keeps."""

    MALFORMED = "malformed"
    TERMINAL_UNKNOWN = "terminal_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    TERMINAL_REVOKED = "terminal_revoked"
    RECORDS_MISSING = "records_missing"
    RECORDS_CHANGED = "records_changed"
    ATTEMPT_ID_REUSED = "attempt_id_reused"
    COUNTER_NOT_INCREASED = "counter_not_increased"
    CHALLENGE_UNKNOWN = "challenge_unknown"
    CHALLENGE_FOREIGN = "challenge_foreign"
    CHALLENGE_REUSED = "challenge_reused"
    CHALLENGE_EXPIRED = "challenge_expired"
    CONTEXT_CHANGED = "context_changed"
    FACTOR_NOT_ALLOWED = "factor_not_allowed"
    FACTOR_CHANGED = "factor_changed"
    MODEL_NOT_ACCEPTED = "model_not_accepted"
    SOURCE_NOT_ACCEPTED = "source_not_accepted"
    PROBE_UNREADABLE = "probe_unreadable"
    CAMERA_CHANGED = "camera_changed"
    LIVENESS_PLAN_CHANGED = "liveness_plan_changed"
    LIVENESS_ATTACK = "liveness_attack"
    LIVENESS_UNDECIDED = "liveness_undecided"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_SUSPENDED = "account_suspended"
    CONSENT_MISSING = "consent_missing"
    ACCOUNT_LOCKED = "account_locked"
    REFERENCE_MISSING = "reference_missing"
    REFERENCE_UNREADABLE = "reference_unreadable"
    NO_MATCH = "no_match"
    PIN_LOCKED = "pin_locked"
    PIN_MISSING = "pin_missing"
    PIN_WRONG = "pin_wrong"
    CLAIM_TAKEN = "claim_taken"
    REFERENCES_DISAGREE = "references_disagree"
    INTENT_UNKNOWN = "intent_unknown"
    INTENT_CLOSED = "intent_closed"
    INTENT_EXPIRED = "intent_expired"
    MERCHANT_UNKNOWN = "merchant_unknown"
    CURRENCY_MISMATCH = "currency_mismatch"
    LIMIT_EXCEEDED = "limit_exceeded"
    ACCOUNT_VELOCITY = "account_velocity"
    ACCOUNT_DAY_LIMIT = "account_day_limit"
    ACCOUNT_MONTH_LIMIT = "account_month_limit"
    MERCHANT_DAY_LIMIT = "merchant_day_limit"
    MERCHANT_MONTH_LIMIT = "merchant_month_limit"
    TERMINAL_DAY_LIMIT = "terminal_day_limit"
    TERMINAL_MONTH_LIMIT = "terminal_month_limit"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    FUNDING_DECLINED = "funding_declined"
    FUNDING_UNAVAILABLE = "funding_unavailable"
    BUNDLE_UNAVAILABLE = "bundle_unavailable"
    DOOR_UNKNOWN = "door_unknown"
    EVACUATION = "evacuation"
    LOCKDOWN = "lockdown"
    VISIT_OVER = "visit_over"
    GRANT_MISSING = "grant_missing"
    GRANT_EXPIRED = "grant_expired"
    OUTSIDE_SCHEDULE = "outside_schedule"
    ANTI_PASSBACK = "anti_passback"
    ZONE_FULL = "zone_full"
    SECOND_PERSON_MISSING = "second_person_missing"

    @property
    def reason(self) -> Reason:
        """The coarse reason that the terminal is told."""
        return _REASON[self]


_REASON = {
    Denial.MALFORMED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.TERMINAL_UNKNOWN: Reason.TERMINAL_NOT_ACCEPTED,
    Denial.TERMINAL_REVOKED: Reason.TERMINAL_NOT_ACCEPTED,
    Denial.SIGNATURE_INVALID: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.RECORDS_MISSING: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.RECORDS_CHANGED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.ATTEMPT_ID_REUSED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.COUNTER_NOT_INCREASED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.CHALLENGE_UNKNOWN: Reason.CHALLENGE_NOT_ACCEPTED,
    Denial.CHALLENGE_FOREIGN: Reason.CHALLENGE_NOT_ACCEPTED,
    Denial.CHALLENGE_REUSED: Reason.CHALLENGE_NOT_ACCEPTED,
    Denial.CHALLENGE_EXPIRED: Reason.CHALLENGE_NOT_ACCEPTED,
    Denial.CONTEXT_CHANGED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.FACTOR_NOT_ALLOWED: Reason.NOT_PERMITTED,
    Denial.FACTOR_CHANGED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.MODEL_NOT_ACCEPTED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.SOURCE_NOT_ACCEPTED: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.PROBE_UNREADABLE: Reason.EVIDENCE_NOT_ACCEPTED,
    Denial.CAMERA_CHANGED: Reason.TERMINAL_NOT_ACCEPTED,
    Denial.LIVENESS_PLAN_CHANGED: Reason.LIVENESS_NOT_SHOWN,
    Denial.LIVENESS_ATTACK: Reason.LIVENESS_NOT_SHOWN,
    Denial.LIVENESS_UNDECIDED: Reason.LIVENESS_NOT_SHOWN,
    Denial.ACCOUNT_UNKNOWN: Reason.NOT_VERIFIED,
    Denial.ACCOUNT_SUSPENDED: Reason.NOT_VERIFIED,
    Denial.CONSENT_MISSING: Reason.NOT_VERIFIED,
    Denial.ACCOUNT_LOCKED: Reason.NOT_VERIFIED,
    Denial.REFERENCE_MISSING: Reason.NOT_VERIFIED,
    Denial.REFERENCE_UNREADABLE: Reason.NOT_VERIFIED,
    Denial.NO_MATCH: Reason.NOT_VERIFIED,
    Denial.PIN_LOCKED: Reason.NOT_VERIFIED,
    Denial.PIN_MISSING: Reason.NOT_VERIFIED,
    Denial.PIN_WRONG: Reason.NOT_VERIFIED,
    Denial.CLAIM_TAKEN: Reason.ENROLMENT_NOT_ACCEPTED,
    Denial.REFERENCES_DISAGREE: Reason.ENROLMENT_NOT_ACCEPTED,
    Denial.INTENT_UNKNOWN: Reason.NOT_PERMITTED,
    Denial.INTENT_CLOSED: Reason.NOT_PERMITTED,
    Denial.INTENT_EXPIRED: Reason.NOT_PERMITTED,
    Denial.MERCHANT_UNKNOWN: Reason.NOT_PERMITTED,
    Denial.CURRENCY_MISMATCH: Reason.NOT_PERMITTED,
    Denial.LIMIT_EXCEEDED: Reason.LIMIT_EXCEEDED,
    Denial.ACCOUNT_VELOCITY: Reason.REFUSED_FOR_NOW,
    Denial.ACCOUNT_DAY_LIMIT: Reason.REFUSED_FOR_NOW,
    Denial.ACCOUNT_MONTH_LIMIT: Reason.REFUSED_FOR_NOW,
    Denial.MERCHANT_DAY_LIMIT: Reason.REFUSED_FOR_NOW,
    Denial.MERCHANT_MONTH_LIMIT: Reason.REFUSED_FOR_NOW,
    Denial.TERMINAL_DAY_LIMIT: Reason.REFUSED_FOR_NOW,
    Denial.TERMINAL_MONTH_LIMIT: Reason.REFUSED_FOR_NOW,
    Denial.INSUFFICIENT_FUNDS: Reason.INSUFFICIENT_FUNDS,
    Denial.FUNDING_DECLINED: Reason.REFUSED_FOR_NOW,
    Denial.FUNDING_UNAVAILABLE: Reason.REFUSED_FOR_NOW,
    Denial.BUNDLE_UNAVAILABLE: Reason.NOT_PERMITTED,
    Denial.DOOR_UNKNOWN: Reason.NOT_PERMITTED,
    Denial.EVACUATION: Reason.DOOR_CLOSED,
    Denial.LOCKDOWN: Reason.DOOR_CLOSED,
    Denial.VISIT_OVER: Reason.NOT_PERMITTED,
    Denial.GRANT_MISSING: Reason.NOT_PERMITTED,
    Denial.GRANT_EXPIRED: Reason.NOT_PERMITTED,
    Denial.OUTSIDE_SCHEDULE: Reason.OUTSIDE_SCHEDULE,
    Denial.ANTI_PASSBACK: Reason.NOT_PERMITTED,
    Denial.ZONE_FULL: Reason.REFUSED_FOR_NOW,
    Denial.SECOND_PERSON_MISSING: Reason.SECOND_PERSON_MISSING,
}
