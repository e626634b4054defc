//! What goes wrong, kind by kind: the names under which it is counted.

use std::fmt;

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($(#[$each:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $kind {
            $($(#[$each])* $variant,)+
        }

        impl $kind {
            /// All of them, in the order of the report.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in the report.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names! {
    /// A kind of fault.
    FaultKind {
        /// 429 with `Retry-After`.
        ThrottledWithRetryAfter = "throttled_with_retry_after",
        /// 429 without.
        Throttled = "throttled",
        /// 500.
        Error500 = "error_500",
        /// 503.
        Error503 = "error_503",
        /// The connection is reset before the effect.
        ResetBefore = "reset_before_the_effect",
        /// And after it.
        ResetAfter = "reset_after_the_effect",
        /// An answer takes up to a minute and a half.
        SlowAnswer = "slow_answer",
        /// An answer breaks off.
        TruncatedAnswer = "truncated_answer",
        /// A stream gives less than was asked for.
        ShortRead = "short_read",
        /// A stream gives nothing, although there is something.
        EmptyRead = "empty_read",
        /// A 200 with entries that were not taken.
        HalfFailedPut = "half_failed_put",
        /// A doorbell is never delivered.
        NotificationLost = "notification_lost",
        /// Up to 50 minutes later.
        NotificationLate = "notification_late",
        /// Twice.
        NotificationDoubled = "notification_doubled",
        /// After the next.
        NotificationReordered = "notification_reordered",
        /// A function failed, and the topic repeats the call.
        FunctionErrorRepeated = "function_error_repeated",
        /// A function failed, and the topic does not.
        FunctionErrorNotRepeated = "function_error_not_repeated",
        /// A cursor is not good any more.
        CursorExpired = "cursor_expired",
        /// Messages fall off a stream before their time.
        StreamTrimmed = "stream_trimmed",
        /// A stream is deleted and made again.
        StreamRecreated = "stream_recreated",
        /// The bucket is said not to be there.
        BucketNotFound = "bucket_not_found",
        /// A policy is gone for a while: 404 on one operation.
        PolicyRevoked = "policy_revoked",
        /// The function's token has run out and is not replaced.
        TokenExpired = "token_expired",
        /// The container's clock is off, so that signatures are refused.
        ContainerClockWrong = "container_clock_wrong",
        /// The `date` header of an answer is off.
        DateHeaderWrong = "date_header_wrong",
        /// Somebody deletes positions.json.
        PositionsDeleted = "positions_deleted",
        /// The destination refuses one event for good.
        SiemRefusesEvent = "siem_refuses_event",
        /// The destination refuses everything: 403.
        SiemRefusesAll = "siem_refuses_all",
        /// The destination never answers.
        SiemSilent = "siem_silent",
        /// The destination takes its time.
        SiemSlow = "siem_slow",
        /// The destination takes half of a body and breaks off.
        SiemHalfAccepts = "siem_half_accepts",
        /// The destination is busy.
        SiemBusy = "siem_busy",
        /// The destination cannot be reached, in long seeds for three days.
        SiemDown = "siem_down",
        /// A function is killed before a wire call.
        KillBefore = "kill_before_a_wire_call",
        /// And after one.
        KillAfter = "kill_after_a_wire_call",
    }
}

names! {
    /// What is no fault and must be borne all the same.
    Condition {
        /// An event is listed into a window that was read already.
        ListedLate = "event_listed_late",
        /// A compartment is made.
        CompartmentMade = "compartment_made",
        /// A compartment is deleted.
        CompartmentDeleted = "compartment_deleted",
        /// A compartment may not be looked into for a while.
        CompartmentHidden = "compartment_hidden",
        /// A region is subscribed to.
        RegionSubscribed = "region_subscribed",
        /// Two racers may both win a rename.
        RacyRenames = "racy_renames",
        /// An event is larger than a put may be.
        Oversized = "event_oversized",
        /// Two or three rings at once.
        RingsAtOnce = "rings_at_once",
        /// The schedule does not ring for hours.
        ScheduleOutage = "schedule_outage",
        /// A publish is refused for its rate.
        PublishThrottled = "publish_throttled",
        /// The platform ends a call at its timeout.
        CallTimedOut = "call_timed_out",
    }
}

names! {
    /// How the pipeline gets over it.
    Recovery {
        /// A planner finishes what a dead one had begun.
        TakeOver = "take_over",
        /// The sweep gives back what a vanished holder held.
        Release = "sweep_release",
        /// The sweep rings again.
        ReRing = "re_ring",
        /// Records that are not on the stream any more are planned anew.
        Replan = "replan",
        /// A fetch hands on what it had no time for.
        HandOver = "hand_over",
        /// A receipt whose holders died is split.
        Split = "split",
        /// A second look finds something.
        SecondLookHit = "second_look_hit",
        /// A call of decode hands on the file that it had no time for.
        FileHandOver = "file_hand_over",
        /// The sweep gives back a file whose holder vanished.
        FileTakeOver = "file_take_over",
        /// The search finds a file whose event never came, or came to nothing.
        SearchHit = "search_hit",
    }
}

names! {
    /// A promise that was broken.
    Violation {
        /// An event is neither delivered nor dead at the end.
        Lost = "lost",
        /// An event arrived with other bytes.
        Altered = "altered",
        /// A call answered success, and what it was given is neither delivered nor dead nor owed.
        FalseSuccess = "false_success",
        /// Something is owed or held two hours after the last fault.
        StillOwed = "still_owed",
        /// A dead letter that nobody made refusable.
        DeadUnexpected = "dead_unexpected",
        /// None for an event that was refused for good.
        DeadMissing = "dead_missing",
        /// A copy without a kill or a lost answer that explains it.
        Duplicated = "duplicated",
        /// Something was planned while positions.json was missing.
        PlannedBlindly = "planned_blindly",
        /// A handler panicked.
        Panicked = "panicked",
        /// A proof does not add up.
        ProofGap = "proof_gap",
        /// Something arrived that is in no trail.
        Invented = "invented",
        /// A seed is not the same run twice.
        Differing = "differing",
        /// The seed makes wire calls without end.
        Runaway = "runaway",
    }
}
