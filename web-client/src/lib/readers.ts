/**
 * The number of members who have read each of this user's messages in a channel. Receipts are not
 * replayed, so the numbers are lower bounds, except for messages whose receipts have been
 * requested.
 */

interface Counted {
  /** The number of other members who have read the message. */
  readonly read: number;
  /** The number of other members who could have read the message. */
  readonly members: number;
}

export interface Readers {
  /** The highest seq up to which at least one member is known to have received everything. */
  readonly delivered: number;
  /** The highest seq up to which all members are known to have read everything. */
  readonly allRead: number;
  /** The highest seq that each member is known to have read. */
  readonly positions: ReadonlyMap<string, number>;
  /** The server's counts, by the message's seq. */
  readonly counts: ReadonlyMap<number, Counted>;
}

export const NO_READERS: Readers = { delivered: 0, allRead: 0, positions: new Map(), counts: new Map() };

/** MAX_COUNTS is the maximum number of messages for which the server's counts are kept. */
const MAX_COUNTS = 50;

/** withPosition records the seqs up to which a member has received and read messages. */
export function withPosition(readers: Readers, userID: string, delivered: number, read: number): Readers {
  const known = readers.positions.get(userID) ?? 0;
  return {
    ...readers,
    delivered: Math.max(readers.delivered, delivered, read),
    positions: read > known ? new Map(readers.positions).set(userID, read) : readers.positions,
  };
}

/** withoutMember forgets a member who has left. */
export function withoutMember(readers: Readers, userID: string): Readers {
  const positions = new Map(readers.positions);
  return positions.delete(userID) ? { ...readers, positions } : readers;
}

/** withCounts adds the server's counts for the message with the given seq. */
export function withCounts(readers: Readers, seq: number, delivered: number, read: number, members: number): Readers {
  const counts = new Map([...readers.counts, [seq, { read: Math.max(read, readers.counts.get(seq)?.read ?? 0), members }] as const].slice(-MAX_COUNTS));
  return {
    ...readers,
    delivered: delivered > 0 ? Math.max(readers.delivered, seq) : readers.delivered,
    allRead: read > 0 && read >= members ? Math.max(readers.allRead, seq) : readers.allRead,
    counts,
  };
}

export interface Progress {
  readonly status: "sent" | "delivered" | "read";
  /** The number of other members who have read the message, and the number of other members. */
  readonly read: number;
  readonly members: number;
}

/**
 * progressOf returns the progress of the message with the given seq: "read" only if all other
 * members have read it. `others` is the current number of other members.
 */
export function progressOf(readers: Readers, seq: number, others: number): Progress {
  const members = Math.max(1, readers.counts.get(seq)?.members ?? others);
  let read = 0;
  for (const position of readers.positions.values()) {
    read += position >= seq ? 1 : 0;
  }
  // A member who has read a later message has read this one too.
  for (const [later, counted] of readers.counts) {
    read = later >= seq ? Math.max(read, counted.read) : read;
  }
  if (read >= members || seq <= readers.allRead) {
    return { status: "read", read: members, members };
  }
  return { status: read > 0 || seq <= readers.delivered ? "delivered" : "sent", read, members };
}
