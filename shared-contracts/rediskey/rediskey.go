// Package rediskey builds every key, stream and topic name that Parley has in Redis. Nothing else
// builds one. All names of a partition carry its number as hash tag, so they live on one shard of a
// cluster and one script may touch them together.
package rediskey

import (
	"strconv"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// DefaultPartitions is the number of partitions of a deployment that names none.
const DefaultPartitions = 16

// Partitions names the key that records a deployment's number of partitions, which is fixed.
const Partitions = "parley:partitions"

// Gateways names the sorted set of gateway ids by the end of their lease.
const Gateways = "parley:gateways"

// Probe names a key of a partition that never exists: a write that changes nothing asks for it whether the
// partition's server takes writes.
func Probe(p int) string { return tag(p) + "probe" }

// ConsumerGroup is the group that reads every stream.
const ConsumerGroup = "sync"

// Of returns the partition of a channel or a user among n: CRC-16/XMODEM (the sum that Redis Cluster
// uses) of the lower-case text of the UUID, modulo n.
func Of(id uuid.UUID, n int) int {
	var text [36]byte
	b, _ := id.MarshalText() // cannot fail
	copy(text[:], b)
	return int(crc16(text[:])) % n
}

// crc16 is CRC-16/XMODEM: polynomial 0x1021, initial 0, not reflected.
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

// Limit counts the writes of one kind by one user or network. It belongs to no partition.
func Limit(kind, subject string) string { return "parley:limit:" + kind + ":" + subject }

// key joins the parts of a key with one allocation: an append has five keys.
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

// Stream is the log of a partition, which the consumer group reads.
func Stream(p int) string { return tag(p) + "stream" }

// Receipts is the stream of a partition's cursor moves.
func Receipts(p int) string { return tag(p) + "receipts" }

// Dead is the stream of a partition's dead letters.
func Dead(p int) string { return tag(p) + "dead" }

// Stored is the hash that mirrors a partition's watermark: "entry" (an entry id) and "added" (how many
// entries were added to the stream up to it). "lost" is when Redis was last found to have lost writes, in ms.
func Stored(p int) string { return tag(p) + "stored" }

// Counter is the hash of a channel's last seq ("seq") and epoch ("epoch").
func Counter(p int, c chat.ChannelID) string { return key(p, "seq:", c.UUID) }

// Tail is the list of a channel's newest events, as they were published.
func Tail(p int, c chat.ChannelID) string { return key(p, "tail:", c.UUID) }

// Idempotency is the record of the first ack of (channel, sender, client id).
func Idempotency(p int, c chat.ChannelID, sender chat.UserID, id chat.ClientID) string {
	return key(p, "idem:", c.UUID, sender.UUID, id.UUID)
}

// Cursor is the hash of a channel's delivered and read positions by member.
func Cursor(p int, c chat.ChannelID) string { return tag(p) + "cursor:" + c.String() }

// Removed is the mark that refuses events of a member who left.
func Removed(p int, c chat.ChannelID, u chat.UserID) string {
	return key(p, "removed:", c.UUID, u.UUID)
}

// Topic is the sharded pub/sub channel of a chat channel.
func Topic(p int, c chat.ChannelID) string { return key(p, "topic:", c.UUID) }

// TopicPrefix is what the topics of a partition's channels begin with.
func TopicPrefix(p int) string { return tag(p) + "topic:" }

// PartitionTopic is a sharded pub/sub channel that every gateway holds, so that its subscription
// connection of the partition always has a topic to be bound by.
func PartitionTopic(p int) string { return tag(p) + "topic:-" }

// UserTopic is the sharded pub/sub channel of a user's notices; p is the user's partition.
func UserTopic(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":topic" }

// UserTopicPrefix is what the names of a partition's users begin with.
func UserTopicPrefix(p int) string { return tag(p) + "user:" }

// UserRate is the list of when a user's newest sends were reserved; p is the user's partition.
func UserRate(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":rate" }

// UserBlocked is the mark that refuses a user's sends for a while; p is the user's partition.
func UserBlocked(p int, u chat.UserID) string { return UserTopicPrefix(p) + u.String() + ":blocked" }

// UserRevoked is the mark of a revoked session; p is the user's partition.
func UserRevoked(p int, u chat.UserID, s chat.SessionID) string {
	return UserTopicPrefix(p) + u.String() + ":revoked:" + s.String()
}

// Online is the set of a channel's users who are connected to one gateway.
func Online(p int, c chat.ChannelID, gateway string) string {
	return tag(p) + "online:" + c.String() + ":" + gateway
}

// OnlineCount is the hash in which the count of a channel with many users online is remembered.
func OnlineCount(p int, c chat.ChannelID) string { return tag(p) + "online-count:" + c.String() }

// GatewayChannels is the set of channels in which a gateway has users, per partition.
func GatewayChannels(p int, gateway string) string {
	return tag(p) + "gateway:" + gateway + ":channels"
}
