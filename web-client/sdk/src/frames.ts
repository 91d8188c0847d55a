/** The frames described in docs/websocket.md, with their field names in the wire format. */

import type { ChannelKind, ProblemField } from "./rest-types.js";

export const SUBPROTOCOL = "parley.v1";

/**
 * HELLO_CHANNELS is the maximum number of channels in the hello frame; hello_more frames contain
 * the rest.
 */
export const HELLO_CHANNELS = 200;

interface EventBase {
  readonly channel_id: string;
  readonly seq: number;
  readonly id: string;
  readonly sent_at: string;
}

interface Sent extends EventBase {
  readonly sender_id: string;
  /**
   * The id that the sender's client chose for the event. With this id, the client recognizes its
   * own events.
   */
  readonly client_id?: string | null;
}

export interface PostedEvent extends Sent {
  readonly type: "message";
  readonly sender_name: string;
  readonly body: string;
  /**
   * The ids of the members whom the body mentions by @username. The channel's own id stands for
   * @channel.
   */
  readonly mentions: readonly string[];
  readonly reply_to: string | null;
}

export interface EditEvent extends Sent {
  readonly type: "edit";
  readonly message_id: string;
  readonly body: string;
  readonly mentions?: readonly string[];
}

export interface DeleteEvent extends Sent {
  readonly type: "delete";
  readonly message_id: string;
}

export interface ReactionEvent extends Sent {
  readonly type: "reaction";
  readonly message_id: string;
  readonly emoji: string;
  readonly remove: boolean;
  /** Set if an owner or admin removed the reaction that `sender_id` had added. */
  readonly removed_by?: string;
}

export interface MembershipEvent extends EventBase {
  readonly type: "member_joined" | "member_left";
  /** The user who caused the change. */
  readonly sender_id: string;
  /** The user who joined or left. */
  readonly user_id: string;
  readonly username: string;
}

export interface ChannelUpdatedEvent extends EventBase {
  readonly type: "channel_updated";
  readonly sender_id: string;
  /** The channel's new properties. */
  readonly channel: Readonly<Record<string, unknown>>;
}

/** A seq without an event. It advances the position but is not displayed. */
export interface TombstoneEvent extends EventBase {
  readonly type: "failed" | "lost" | "noop";
}

/** The server has no events for the seqs `from` to `to`. */
export interface GapEvent extends EventBase {
  readonly type: "gap";
  readonly from: number;
  readonly to: number;
}

/** An event in a channel's log, in its wire format. */
export type WireEvent =
  | PostedEvent
  | EditEvent
  | DeleteEvent
  | ReactionEvent
  | MembershipEvent
  | ChannelUpdatedEvent
  | TombstoneEvent
  | GapEvent;

export interface Limits {
  readonly max_body_bytes: number;
  /** 0 means no limit. */
  readonly rate_messages: number;
  readonly rate_seconds: number;
  readonly rate_block_seconds: number;
}

/** A channel as listed in hello. */
export interface ChannelSummary {
  readonly channel_id: string;
  /** Empty for a direct channel. */
  readonly name: string;
  readonly kind: ChannelKind;
  readonly last_seq: number;
  readonly last_read_seq: number;
  readonly last_delivered_seq: number;
  readonly unread: number;
  readonly unread_mentions: number;
  readonly epoch: string;
  /**
   * Set if this channel is left out because the user has more channels than a connection can
   * follow; see Channel.follow.
   */
  readonly not_followed?: true;
}

export interface Hello {
  readonly type: "hello";
  readonly connection_id: string;
  readonly session_id: string;
  readonly user_id: string;
  readonly server_time: string;
  readonly heartbeat_seconds: number;
  readonly limits: Limits;
  readonly channels: readonly ChannelSummary[];
  /**
   * The number of channels that are not followed because of the limit; absent if there are none.
   */
  readonly not_followed?: number;
}

export interface HelloMore {
  readonly type: "hello_more";
  readonly channels: readonly ChannelSummary[];
}

export interface Subscribed {
  readonly type: "subscribed";
  readonly ref?: string;
  readonly channel_id: string;
  readonly last_seq: number;
  readonly epoch: string;
  readonly recovered: boolean;
  readonly has_more: boolean;
}

export interface Resync {
  readonly type: "resync";
  readonly ref?: string;
  readonly channel_id: string;
  readonly last_seq: number;
  readonly epoch: string;
}

/** Confirms that an event is durable, and reports its id and seq. */
export interface AckFrame {
  readonly type: "ack";
  readonly channel_id: string;
  readonly client_id: string;
  readonly id: string;
  readonly seq: number;
  readonly sent_at: string;
}

export interface ErrorFrame {
  readonly type: "error";
  readonly ref?: string;
  readonly code: string;
  readonly message: string;
  readonly retry_after_ms?: number;
  /** The invalid fields of the frame. */
  readonly errors?: readonly ProblemField[];
  /** The channel whose subscription was refused, if the error answers a `subscribe` frame. */
  readonly channel_id?: string;
}

/** An acknowledged event of this user could not be stored. */
export interface FailedFrame {
  readonly type: "failed";
  readonly channel_id: string;
  readonly id: string;
  readonly seq: number;
  readonly client_id: string;
  readonly reason: string;
}

export interface Membership {
  readonly type: "membership";
  readonly channel_id: string;
  readonly change: "added" | "removed";
  readonly by: string;
  readonly channel?: ChannelSummary;
}

/** This user was added to a group or removed from it, or the group was changed. */
export interface GroupNotice {
  readonly type: "group";
  readonly group_id: string;
  readonly change: "added" | "removed" | "updated";
  readonly by: string;
}

/** This user was invited to a channel or a group, or an invitation no longer exists. */
export interface InvitationNotice {
  readonly type: "invitation";
  readonly invitation_id: string;
  readonly change: "added" | "removed";
  readonly by: string;
}

/** A member is typing, or has stopped. */
export interface TypingNotice {
  readonly type: "typing";
  readonly channel_id: string;
  readonly user_id: string;
  readonly typing: boolean;
}

/**
 * Reports the members who have come online or gone offline. If many members are online, it contains
 * only the count.
 */
export interface PresenceNotice {
  readonly type: "presence";
  readonly ref?: string;
  readonly channel_id: string;
  readonly online_count: number;
  readonly joined: readonly string[];
  readonly left: readonly string[];
  readonly next?: string;
}

/** A member's delivered and read positions in a small channel. */
export interface Receipt {
  readonly type: "receipt";
  readonly channel_id: string;
  readonly user_id: string;
  readonly delivered_seq: number;
  readonly read_seq: number;
}

/** How many members of a large channel have received and read this user's newest message. */
export interface ReceiptCounts {
  readonly type: "receipt_counts";
  readonly channel_id: string;
  readonly seq: number;
  readonly delivered_count: number;
  readonly read_count: number;
  readonly member_count: number;
}

export interface Pong {
  readonly type: "pong";
  readonly ref?: string;
}

/** Any frame from the server whose type this client knows. */
export type ServerFrame =
  | WireEvent
  | Hello
  | HelloMore
  | Subscribed
  | Resync
  | AckFrame
  | ErrorFrame
  | FailedFrame
  | Membership
  | GroupNotice
  | InvitationNotice
  | TypingNotice
  | PresenceNotice
  | Receipt
  | ReceiptCounts
  | Pong;

/** A request that appends an event. Its ref is its client_id. */
export interface Outbound {
  readonly type: "send" | "edit" | "delete" | "react";
  readonly channel_id: string;
  readonly client_id: string;
  readonly message_id?: string;
  readonly reply_to?: string;
  readonly body?: string;
  readonly emoji?: string;
  readonly remove?: boolean;
}
