// Package rediskey builds the names of all keys, streams and topics that Parley uses in Redis. No
// other package may build these names. All names in a partition contain the partition's number as a
// hash tag. In Redis Cluster, they are therefore on the same shard, and a single script can access
// them.
package rediskey

import (
	"strconv"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// DefaultPartitions is the number of partitions if a deployment does not configure it.
const DefaultPartitions = 16

// Partitions is the key that holds the deployment's number of partitions, which never changes.
const Partitions = "parley:partitions"

// Gateways is the key of the sorted set of gateway ids. The scores are the times at which the
// gateways' leases expire.
const Gateways = "parley:gateways"

// Probe returns a key in partition p that never exists. A write command on this key that changes
// nothing (SETRANGE with an empty value) shows whether the partition's server accepts writes.
func Probe(p int) string { return tag(p) + "probe" }

// ConsumerGroup is the name of the consumer group that reads every stream.
const ConsumerGroup = "sync"

// Of returns the partition of a channel or user, from 0 to n-1. The result is the CRC-16/XMODEM
// checksum (as used by Redis Cluster) of the UUID's lower-case text, modulo n.
func Of(id uuid.UUID, n int) int {
	var text [36]byte
	b, _ := id.MarshalText() // cannot fail
	copy(text[:], b)
	return int(crc16(text[:])) % n
}

// crc16 computes CRC-16/XMODEM: polynomial 0x1021, initial value 0, not reflected.
func crc16(b []byte) (crc uint16) {
	for _, c := range b {
		crc = crc<<8 ^ crc16Table[byte(crc>>8)^c]
	}
	return crc
}

var crc16Table = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()

// Limit returns the key of the counter for one kind of write by one user or network. The key
// belongs to no partition.
func Limit(kind, subject string) string { return "parley:limit:" + kind + ":" + subject }

// key builds a key with a single allocation. This matters because an append uses five keys.
func key(p int, kind string, ids ...uuid.UUID) string {
	var room [160]byte
	b := append(strconv.AppendInt(append(room[:0], "parley:{"...), int64(p), 10), "}:"...)
	b = append(b, kind...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ':')
		}
		b = chat.AppendUUID(b, id)
	}
	return string(b)
}

func tag(p int) string { return "parley:{" + strconv.Itoa(p) + "}:" }

// Stream returns the key of a partition's event stream, which the consumer group reads.
func Stream(p int) string { return tag(p) + "stream" }

// Receipts returns the key of a partition's receipts stream.
func Receipts(p int) string { return tag(p) + "receipts" }

// Dead returns the key of the stream of a partition's dead letters.
func Dead(p int) string { return tag(p) + "dead" }

// Stored returns the key of the hash that mirrors a partition's watermark. "entry" is the
// watermark's entry id. "added" is the number of entries that were added to the stream up to this
// id. "lost" is the time, in ms, when Redis was last found to have lost writes.
func Stored(p int) string { return tag(p) + "stored" }

// Counter returns the key of the hash with a channel's last seq ("seq") and epoch ("epoch").
func Counter(p int, c chat.ChannelID) string { return key(p, "seq:", c.UUID) }

// Tail returns the key of the list of a channel's newest events, in the form in which they were
// published.
func Tail(p int, c chat.ChannelID) string { return key(p, "tail:", c.UUID) }

// Idempotency returns the key that records the first ack for a channel, sender and client id.
func Idempotency(p int, c chat.ChannelID, sender chat.UserID, id chat.ClientID) string {
	return key(p, "idem:", c.UUID, sender.UUID, id.UUID)
}

// Cursor returns the key of the hash that contains a channel's receipts by member.
func Cursor(p int, c chat.ChannelID) string { return tag(p) + "cursor:" + c.String() }

// Removed returns the key of a removal mark, which makes Redis refuse events from a member who has
// left.
func Removed(p int, c chat.ChannelID, u chat.UserID) string {
	return key(p, "removed:", c.UUID, u.UUID)
}

// Topic returns the name of a channel's topic, which is a sharded pub/sub channel.
func Topic(p int, c chat.ChannelID) string { return key(p, "topic:", c.UUID) }

// TopicPrefix returns the common prefix of the topic names of a partition's channels.
func TopicPrefix(p int) string { return tag(p) + "topic:" }

// PartitionTopic returns the name of a partition's topic, to which every gateway subscribes. It
// keeps the gateway's connection to the partition in subscribed mode even if there are no other
// topics.
func PartitionTopic(p int) string { return tag(p) + "topic:-" }

// UserTopic returns the name of the topic for a user's notices. p is the user's partition.
func UserTopic(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":topic" }

// UserTopicPrefix returns the common prefix of all keys and topic names that belong to a
// partition's users.
func UserTopicPrefix(p int) string { return tag(p) + "user:" }

// UserRate returns the key of the list in which the rate limiter records the times of a user's
// latest sends. p is the user's partition.
func UserRate(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":rate" }

// UserBlocked returns the key of the mark that temporarily blocks a user's sends. p is the user's
// partition.
func UserBlocked(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":blocked" }

// UserRevoked returns the key of the mark for a revoked session. p is the user's partition.
func UserRevoked(p int, u chat.UserID, s chat.SessionID) string {
	return UserTopicPrefix(p) + u.String() + ":revoked:" + s.String()
}

// Online returns the key of the set of a channel's users who are connected to one gateway.
func Online(p int, c chat.ChannelID, gateway string) string {
	return tag(p) + "online:" + c.String() + ":" + gateway
}

// OnlineCount returns the key of the hash that caches the number of online users in a channel where
// many users are online.
func OnlineCount(p int, c chat.ChannelID) string { return tag(p) + "online-count:" + c.String() }

// GatewayChannels returns the key of the set of a partition's channels in which a gateway has
// connected users.
func GatewayChannels(p int, gateway string) string {
	return tag(p) + "gateway:" + gateway + ":channels"
}
