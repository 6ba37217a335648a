package collector

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-kit/log/level"
	"github.com/gofrs/flock"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// StateFile keeps what must outlive the process: what is known, the counters
// with their birth, the month's calls, the members and the names. It holds no
// data about people but ids and results.
//
// The file is a line with the version of its format, a stream of gob values
// (one savedHead, then savedUsers until all are there) and the SHA-256 of all
// that. It is written whole beside the old one and then takes its place. Line
// and checksum are the same in every version, so that damage is never taken for
// a later release.
type StateFile struct {
	path   string
	tenant string
	lock   *flock.Flock
	head   *savedHead // as loaded; nil: there was none
	rest   []savedUsers
	err    error // why the file that was there is not used
}

const (
	stateMagic   = "feishu_attendance_exporter state "
	stateVersion = 1
	stateChunk   = 1000 // users in a gob value
)

type savedHead struct {
	Tenant      string // whose results these are
	Saved       time.Time
	Ledger      feishu.LedgerState
	Today, Met  feishu.Day
	Up          bool
	LastSuccess time.Time
	LastEnd     time.Time // of a collection
	Schedule    scheduleState
	Roster      savedRoster
	Changes     []savedChange
	Tasks       []string // keys of tasks
	Users       int
}

type savedRoster struct {
	Sources   string // of which configuration
	Groups    map[string][]string
	Contacts  []string
	Succeeded time.Time
	Next      time.Time
	Named     map[string]string
	Shifts    map[string]string
	Flexible  map[string]time.Duration
}

type savedChange struct {
	Group, Shift string
	ShiftType    feishu.ShiftType
	Side         uint8
	Result       feishu.Result
	Value        uint64
	Born         time.Time
}

// savedUsers are some users by column, which gob writes fast and small. Those
// of the last four rows have one entry for each task held.
type savedUsers struct {
	ID                           []string
	Verdict, Failed, Held        []byte
	At, Due                      []int64
	Asked, Through, Since, Swept []int32
	Day                          []int32
	Gone                         []byte
	Key                          []uint64
	Task                         []uint32 // place in savedHead.Tasks
}

// ErrStateNewer says that a later release wrote the state file.
var ErrStateNewer = errors.New("was written by a later release: use that one, or another --state.file")

// OpenState locks the state file and reads it. A file that is damaged, or of
// another tenant, is set aside: Problem says so. An error means that the
// exporter must not go on with this file.
func OpenState(path, tenant string) (*StateFile, error) {
	s := &StateFile{path: path, tenant: tenant, lock: flock.New(path+".lock", flock.SetPermissions(0o600))}
	locked, err := s.lock.TryLock()
	switch {
	case readOnly(err): // so it is for other processes, and each write will show it
	case err != nil:
		return nil, fmt.Errorf("--state.file %s: %w: its directory must exist", path, err)
	case !locked:
		return nil, fmt.Errorf("--state.file %s: another process uses it: one process serves one tenant", path)
	}
	s.head, s.rest, err = readState(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case errors.Is(err, ErrStateNewer), errors.Is(err, fs.ErrPermission):
		return nil, errors.Join(fmt.Errorf("--state.file %s: %w", path, err), s.Close())
	case err == nil && s.head.Tenant != tenant:
		err = errors.New("holds the results of another app, tenant or employee_type")
	}
	if err != nil {
		s.head, s.rest = nil, nil
		aside := path + ".aside-" + time.Now().UTC().Format("20060102T150405Z")
		renamed := os.Rename(path, aside)
		if readOnly(renamed) {
			s.err = fmt.Errorf("state file %s: %w, and it stays where it is: %w", path, err, renamed)
			return s, nil
		}
		if renamed != nil {
			return nil, errors.Join(fmt.Errorf("--state.file %s: %w, and it cannot be set aside: %w", path, err, renamed), s.Close())
		}
		s.err = fmt.Errorf("state file %s: %w: it was renamed to %s, and counting begins anew", path, err, aside)
	}
	return s, nil
}

// readOnly says that nothing can be written to the directory now.
func readOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC)
}

// Problem returns why the file that was there is not used, or nil.
func (s *StateFile) Problem() error { return s.err }

// Ledger returns the month's calls as saved, zero where nothing is.
func (s *StateFile) Ledger() feishu.LedgerState {
	if s.head == nil {
		return feishu.LedgerState{}
	}
	return s.head.Ledger
}

// Close lets another process use the file.
func (s *StateFile) Close() error { return s.lock.Close() }

func readState(path string) (*savedHead, []savedUsers, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	return decodeState(f, info.Size())
}

// decodeState reads a whole file of that size.
func decodeState(f io.ReaderAt, size int64) (*savedHead, []savedUsers, error) {
	summed := max(0, size-sha256.Size)
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, summed), 64<<10)
	line, err := r.ReadString('\n')
	version, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), stateMagic)
	if err != nil || !ok {
		return nil, nil, errors.New("is no state file of this exporter")
	}
	if err := checkSum(f, summed); err != nil {
		return nil, nil, err
	}
	switch v, err := strconv.Atoi(version); {
	case err != nil || v < 1:
		return nil, nil, errors.New("is no state file of this exporter")
	case v > stateVersion:
		return nil, nil, ErrStateNewer
	}
	d := gob.NewDecoder(r)
	head := &savedHead{}
	if err := d.Decode(head); err != nil {
		return nil, nil, fmt.Errorf("is damaged: %w", err)
	}
	var users []savedUsers
	for n := 0; n < head.Users; n += stateChunk {
		var u savedUsers
		if err := d.Decode(&u); err != nil {
			return nil, nil, fmt.Errorf("is damaged: %w", err)
		}
		if err := u.check(len(head.Tasks)); err != nil {
			return nil, nil, err
		}
		users = append(users, u)
	}
	tasks := newTasks()
	for _, key := range head.Tasks {
		if _, err := tasks.ofKey([]byte(key)); err != nil {
			return nil, nil, err
		}
	}
	for _, c := range head.Changes {
		if c.ShiftType >= feishu.NumShiftTypes || side(c.Side) >= numSides || c.Result >= feishu.NumResults {
			return nil, nil, errors.New("is damaged: a counter in it cannot be")
		}
	}
	return head, users, nil
}

// checkSum compares the SHA-256 behind the first n bytes with theirs.
func checkSum(f io.ReaderAt, n int64) error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, n)); err != nil {
		return err
	}
	sum := make([]byte, sha256.Size)
	if n, err := f.ReadAt(sum, n); n < len(sum) {
		return fmt.Errorf("is damaged: %w", err)
	}
	if !bytes.Equal(sum, h.Sum(nil)) {
		return errors.New("is damaged: its checksum does not fit")
	}
	return nil
}

// check says whether the columns fit together.
func (u *savedUsers) check(tasks int) error {
	n, held := len(u.ID), 0
	for _, h := range u.Held {
		held += int(h)
	}
	ok := len(u.Verdict) == n && len(u.Failed) == n && len(u.Held) == n && len(u.At) == n && len(u.Due) == n &&
		len(u.Asked) == n && len(u.Through) == n && len(u.Since) == n && len(u.Swept) == n &&
		len(u.Day) == held && len(u.Gone) == held && len(u.Key) == held && len(u.Task) == held
	for _, t := range u.Task {
		ok = ok && int(t) < tasks
	}
	for _, v := range u.Verdict {
		ok = ok && verdict(v) <= verdictUnauthorized
	}
	if !ok {
		return errors.New("is damaged: its columns do not fit together")
	}
	return nil
}

// save writes the head and the users of known in place of the old file.
func (s *StateFile) save(head *savedHead, k *known) (err error) {
	// Who holds the lock is alone here. A name that is always the same leaves no
	// more than one file behind, however often the process dies while it writes.
	name := s.path + ".tmp"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(name)
		}
	}()
	if err := writeState(tmp, head, k); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(name, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

func writeState(w io.Writer, head *savedHead, k *known) error {
	sum := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	fmt.Fprintf(b, "%s%d\n", stateMagic, stateVersion)
	e := gob.NewEncoder(b)

	places := make(map[*task]uint32, len(k.tasks.byHash))
	for _, t := range k.tasks.byHash {
		places[t] = uint32(len(head.Tasks))
		head.Tasks = append(head.Tasks, string(t.appendKey(nil)))
	}
	for key, c := range k.changes {
		head.Changes = append(head.Changes, savedChange{key.group, key.shift, key.shiftType, uint8(key.side), key.result, c.value, c.born})
	}
	head.Users = len(k.users)
	if err := e.Encode(head); err != nil {
		return err
	}
	var u savedUsers
	for i, user := range k.users {
		u.add(user, places)
		if (i+1)%stateChunk == 0 || i+1 == len(k.users) {
			if err := e.Encode(&u); err != nil {
				return err
			}
			u.clear()
		}
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return writeSum(w, sum)
}

func writeSum(w io.Writer, sum hash.Hash) error {
	_, err := w.Write(sum.Sum(nil))
	return err
}

func (u *savedUsers) add(from *user, places map[*task]uint32) {
	u.ID = append(u.ID, from.id)
	u.Verdict = append(u.Verdict, byte(from.verdict))
	u.Failed = append(u.Failed, bit(from.failed))
	u.At, u.Due = append(u.At, from.at), append(u.Due, from.due)
	u.Asked, u.Through = append(u.Asked, int32(from.asked)), append(u.Through, int32(from.through))
	u.Since, u.Swept = append(u.Since, int32(from.since)), append(u.Swept, int32(from.swept))
	held := from.held[:min(len(from.held), 255)]
	u.Held = append(u.Held, byte(len(held)))
	for _, h := range held {
		u.Day = append(u.Day, int32(h.day))
		u.Gone = append(u.Gone, bit(h.gone))
		u.Key = append(u.Key, h.key)
		u.Task = append(u.Task, places[h.task])
	}
}

func (u *savedUsers) clear() {
	u.ID, u.Verdict, u.Failed, u.Held, u.At, u.Due = u.ID[:0], u.Verdict[:0], u.Failed[:0], u.Held[:0], u.At[:0], u.Due[:0]
	u.Asked, u.Through, u.Since, u.Swept = u.Asked[:0], u.Through[:0], u.Since[:0], u.Swept[:0]
	u.Day, u.Gone, u.Key, u.Task = u.Day[:0], u.Gone[:0], u.Key[:0], u.Task[:0]
}

// syncDir makes a rename in the directory outlive a power cut, where the
// system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// restore puts what was saved in k, for the members that are still asked for.
func (s *StateFile) restore(k *known) {
	byPlace := make([]*task, len(s.head.Tasks))
	for i, key := range s.head.Tasks {
		t, err := k.tasks.ofKey([]byte(key))
		if err != nil {
			panic(err) // OpenState has checked it
		}
		byPlace[i] = t
	}
	k.users = k.users[:0]
	for i := range s.rest {
		u := &s.rest[i]
		at := 0
		for j, id := range u.ID {
			to := &user{
				id: id, verdict: verdict(u.Verdict[j]), failed: u.Failed[j] == 1, at: u.At[j], due: u.Due[j],
				asked: feishu.Day(u.Asked[j]), through: feishu.Day(u.Through[j]), since: feishu.Day(u.Since[j]), swept: feishu.Day(u.Swept[j]),
				held: make([]held, u.Held[j]),
			}
			for n := range to.held {
				to.held[n] = held{day: feishu.Day(u.Day[at]), gone: u.Gone[at] == 1, key: u.Key[at], task: byPlace[u.Task[at]]}
				at++
			}
			k.users = append(k.users, to)
		}
	}
	for _, c := range s.head.Changes {
		k.changes[changeKey{place{c.Group, c.Shift, c.ShiftType, side(c.Side)}, c.Result}] = &counter{c.Value, c.Born}
	}
	s.head, s.rest = nil, nil
}

// Resume goes on from what the state file holds, and keeps there what is known
// from now on; calls returns the month's. It must be called before Run.
func (p *Poller) Resume(s *StateFile, calls func() feishu.LedgerState) {
	p.state, p.calls = s, calls
	now := wall()
	if head := s.head; head != nil {
		s.restore(p.known)
		p.known.today, p.looked = head.Today, head.Saved
		p.status.met, p.status.up, p.status.lastSuccess, p.status.lastCollection = head.Met, head.Up, head.LastSuccess, head.LastEnd
		p.schedule.restore(head.Schedule)
		if saved := head.Roster; saved.Sources == sources(p.cfg) {
			p.roster = &roster{
				groups: saved.Groups, contacts: saved.Contacts, succeeded: saved.Succeeded,
				names: names{groups: saved.Named, shifts: saved.Shifts, flexible: saved.Flexible},
			}
			p.refresh.ended, p.refresh.next = !saved.Next.IsZero(), saved.Next
		}
		level.Info(p.logger).Log("msg", "going on from the state file", "saved", head.Saved.Format(time.RFC3339), "users", len(p.known.users))
	}
	p.follow(now)
	p.configure(p.cfg, now)
	p.publish(now)
}

// sources tells whether two configurations find the same members.
func sources(cfg *config.Attendance) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q %q %t %q %q %q", cfg.EmployeeType, cfg.Groups, cfg.AllGroups, cfg.ExcludeGroups, cfg.Emails, cfg.Mobiles)))
}

// save writes the state file, if there is one. Calls of what is under way count
// as made: should the process die among them, the quota is not overdrawn. A
// failure costs nothing but what a restart would have known.
func (p *Poller) save() {
	if p.state == nil {
		return
	}
	head := &savedHead{
		Tenant: p.state.tenant, Saved: wall(), Ledger: p.calls(), Today: p.known.today, Met: p.status.met, Up: p.status.up,
		LastSuccess: p.status.lastSuccess, LastEnd: p.status.lastCollection, Schedule: p.schedule.state(),
		Roster: savedRoster{
			Sources: sources(p.cfg), Groups: p.roster.groups, Contacts: p.roster.contacts, Succeeded: p.roster.succeeded, Next: p.refresh.next,
			Named: p.roster.names.groups, Shifts: p.roster.names.shifts, Flexible: p.roster.names.flexible,
		},
	}
	if p.collection != nil {
		head.Ledger.Calls += p.collection.left
	}
	if p.refresh.running {
		head.Ledger.Calls += p.roster.calls()
	}
	if err := p.state.save(head, p.known); err != nil {
		p.unsaved.Add(1)
		if !p.reported.unsaved {
			level.Error(p.logger).Log("during", "writing the state file", "err", err, "msg", "serving goes on, but a restart would lose what is known since the last write")
		}
		p.reported.unsaved = true
		return
	}
	if p.reported.unsaved {
		level.Info(p.logger).Log("msg", "the state file is written again")
	}
	p.reported.unsaved, p.dirty = false, false
}
