// Package rediskey builds the names of all keys, streams and topics that Parley uses in Redis; no
// other code may build one. All names in a partition contain its number as a hash tag. In Redis
// Cluster, they are therefore on the same shard, and a single script can access them.
package rediskey

import (
	"strconv"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// DefaultPartitions is the number of partitions of a deployment that does not configure it.
const DefaultPartitions = 16

// Partitions is the key that records the deployment's number of partitions, which never changes.
const Partitions = "parley:partitions"

// Gateways is the sorted set of gateway ids, ordered by the expiry of their leases.
const Gateways = "parley:gateways"

// Probe returns a key that never exists in partition p. An empty write to it changes nothing, but
// shows whether the partition's server accepts writes.
func Probe(p int) string { return tag(p) + "probe" }

// ConsumerGroup is the group that reads every stream.
const ConsumerGroup = "sync"

// Of returns the number of the partition, out of n, to which a channel or user belongs. The result
// is the CRC-16/XMODEM checksum (as used by Redis Cluster) of the UUID's lower-case text, modulo n.
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

// Limit returns the key that counts writes of one kind by one user or network. It belongs to no
// partition.
func Limit(kind, subject string) string { return "parley:limit:" + kind + ":" + subject }

// key joins the parts of a key using a single allocation, because an append uses five keys.
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

// Stream returns the stream of a partition's events, which the consumer group reads.
func Stream(p int) string { return tag(p) + "stream" }

// Receipts returns the stream of a partition's receipts.
func Receipts(p int) string { return tag(p) + "receipts" }

// Dead returns the stream of a partition's dead letters.
func Dead(p int) string { return tag(p) + "dead" }

// Stored returns the hash that mirrors a partition's watermark: "entry" (an entry id) and "added"
// (number of entries added to the stream at or below it). "lost" is the time, in ms, when Redis was
// last found to have lost writes.
func Stored(p int) string { return tag(p) + "stored" }

// Counter returns the hash with a channel's last seq ("seq") and epoch ("epoch").
func Counter(p int, c chat.ChannelID) string { return key(p, "seq:", c.UUID) }

// Tail returns the list of a channel's newest events, as they were published.
func Tail(p int, c chat.ChannelID) string { return key(p, "tail:", c.UUID) }

// Idempotency returns the key that records the first ack for a channel, sender and client id.
func Idempotency(p int, c chat.ChannelID, sender chat.UserID, id chat.ClientID) string {
	return key(p, "idem:", c.UUID, sender.UUID, id.UUID)
}

// Cursor returns the hash with a channel's receipts by member.
func Cursor(p int, c chat.ChannelID) string { return tag(p) + "cursor:" + c.String() }

// Removed returns the key of the mark that makes Redis refuse events from a member who has left.
func Removed(p int, c chat.ChannelID, u chat.UserID) string {
	return key(p, "removed:", c.UUID, u.UUID)
}

// Topic returns the sharded pub/sub channel for a chat channel.
func Topic(p int, c chat.ChannelID) string { return key(p, "topic:", c.UUID) }

// TopicPrefix returns the common prefix of the topics of a partition's channels.
func TopicPrefix(p int) string { return tag(p) + "topic:" }

// PartitionTopic returns a sharded pub/sub channel that every gateway subscribes to. It keeps the
// gateway's connection to the partition subscribed even if there are no other topics.
func PartitionTopic(p int) string { return tag(p) + "topic:-" }

// UserTopic returns the sharded pub/sub channel for a user's notices; p is the user's partition.
func UserTopic(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":topic" }

// UserTopicPrefix returns the common prefix of all names that belong to a partition's users.
func UserTopicPrefix(p int) string { return tag(p) + "user:" }

// UserRate returns the list that holds the times of a user's latest reserved sends; p is the user's
// partition.
func UserRate(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":rate" }

// UserBlocked returns the key of the mark that temporarily blocks a user's sends; p is the user's
// partition.
func UserBlocked(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":blocked" }

// UserRevoked returns the key that marks a session as revoked; p is the user's partition.
func UserRevoked(p int, u chat.UserID, s chat.SessionID) string {
	return UserTopicPrefix(p) + u.String() + ":revoked:" + s.String()
}

// Online returns the set of a channel's users who are connected to one gateway.
func Online(p int, c chat.ChannelID, gateway string) string {
	return tag(p) + "online:" + c.String() + ":" + gateway
}

// OnlineCount returns the hash that caches the online count of a channel with many users online.
func OnlineCount(p int, c chat.ChannelID) string { return tag(p) + "online-count:" + c.String() }

// GatewayChannels returns the set of a partition's channels in which a gateway has users.
func GatewayChannels(p int, gateway string) string {
	return tag(p) + "gateway:" + gateway + ":channels"
}
