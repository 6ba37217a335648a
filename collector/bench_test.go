package collector

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
)

// benchReply returns what Feishu answers about 50 users from the first, two
// days each; each of kinds tasks is different from the others.
func benchReply(reply *feishu.UserTasks, users []*user, first, kinds int, today feishu.Day) {
	reply.Tasks = reply.Tasks[:0]
	for i, u := range users {
		for ago := range 2 {
			n := 2*(first+i) + ago
			kind := n % kinds
			scheduled := today.Add(-ago).Midnight(time.UTC).Unix() + int64(kind)
			reply.Tasks = append(reply.Tasks, feishu.Task{
				ResultID: fmt.Appendf(nil, "67093593136%08d", n), UserID: []byte(u.id), Day: today.Add(-ago),
				GroupID: []byte("6737202939523236113"), ShiftID: []byte("6753520403404030215"),
				Records: []feishu.Record{{
					CheckIn:  feishu.Punch{Result: feishu.ResultNormal, Real: true, Scheduled: scheduled, Time: scheduled - 60, RecordID: []byte("1")},
					CheckOut: feishu.Punch{Result: feishu.ResultTodo, Scheduled: scheduled + 9*3600},
				}},
			})
		}
	}
}

// BenchmarkKnown takes in the answers about 100,000 users and two days, and
// publishes what they amount to.
func BenchmarkKnown(b *testing.B) {
	const users = 100_000
	now := time.Date(2000, 2, 10, 12, 0, 0, 0, time.UTC)
	today := feishu.DayOf(now)
	members := make([]member, users)
	for i := range members {
		members[i].id = fmt.Sprintf("u%07d", i)
	}
	for _, kinds := range []int{200, 2 * users} {
		fill := func(k *known, took func()) {
			var reply feishu.UserTasks
			for i := 0; i < users; i += feishu.MaxUsers {
				some := k.users[i : i+feishu.MaxUsers]
				benchReply(&reply, some, i, kinds, today)
				took()
				k.answer(batch{users: some, days: days{today.Add(-1), today}}, &reply, now)
				took()
			}
		}
		empty := func() *known {
			k := newKnown()
			k.setRoster(members, now)
			k.turn(today, 7)
			return k
		}
		b.Run(fmt.Sprintf("answer/kinds=%d", kinds), func(b *testing.B) {
			var k *known
			var heap, objects float64
			for range b.N {
				b.StopTimer()
				k = empty()
				before, objectsBefore := liveHeap()
				running := false
				fill(k, func() {
					if running = !running; running {
						b.StartTimer()
					} else {
						b.StopTimer()
					}
				})
				after, objectsAfter := liveHeap()
				heap, objects = float64(after-before), float64(objectsAfter-objectsBefore)
			}
			runtime.KeepAlive(k)
			b.ReportMetric(heap/users/2, "B/user-day")
			b.ReportMetric(objects/users, "objects/user")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/users/2, "ns/user-day")
		})
		b.Run(fmt.Sprintf("publish/kinds=%d", kinds), func(b *testing.B) {
			k := empty()
			fill(k, func() {})
			st := &status{started: now, met: today, roster: &roster{}}
			cfg, descs := baseConfig(time.UTC), newDescs()
			for b.Loop() {
				publish(k, st, cfg, descs, now)
			}
		})
	}
}

func liveHeap() (bytes, objects uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.HeapObjects
}
