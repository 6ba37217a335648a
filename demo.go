package main

import (
	"net"
	"net/http"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu/simulator"
)

// demoSeed makes the people of the demo; any other makes other people.
const demoSeed = 1

// demo is a simulated tenant on a loopback port, and the configuration to ask it with.
type demo struct {
	cfg  *config.Config
	stop func()
	look string // where the exporter can be looked at
}

func startDemo(now time.Time, listen string) (*demo, error) {
	company := simulator.NewCompany(demoSeed, simulator.DemoZone(now))
	baseURL, stop, err := simulator.NewServer(company, simulator.Options{Fault: demoFault}).Listen()
	if err != nil {
		return nil, err
	}
	if host, port, err := net.SplitHostPort(listen); err == nil && host == "" {
		listen = net.JoinHostPort("localhost", port)
	}
	return &demo{stop: stop, look: "http://" + listen + "/", cfg: &config.Config{
		Feishu: config.Feishu{
			BaseURL:        baseURL,
			AppID:          simulator.DefaultAppID,
			AppSecret:      simulator.DefaultAppSecret,
			MonthlyQuota:   10_000_000, // so that the quota is on the dashboards and never in the way
			CallsPerSecond: 50,
		},
		Attendance: config.Attendance{
			EmployeeType:         "employee_id",
			Users:                company.Users(),
			Emails:               company.Emails(),
			Mobiles:              company.Mobiles(),
			Groups:               company.MemberGroups(),
			MembersInterval:      time.Hour,
			TimeZone:             company.Zone(),
			Schedule:             "fixed",
			Interval:             15 * time.Second,
			IdleInterval:         time.Minute,
			Lookback:             7,
			MaxAge:               5 * time.Minute,
			OverdueGrace:         10 * time.Minute,
			OverdueGraceCheckOut: 4 * time.Hour,
			Overtime:             true,
			Exceptions:           true,
		},
	}}, nil
}

// demoFault makes the tenant fail now and then, as Feishu does, with what the
// next attempt overcomes.
func demoFault(api string, n int, _ *http.Request) simulator.Fault {
	if api == simulator.APIUserTasks && n%100 == 6 {
		return simulator.Fault{Status: http.StatusInternalServerError, Code: 1225000, Msg: "internal server error"}
	}
	return simulator.Fault{}
}

// load stands in for reading a file.
func (d *demo) load(logger log.Logger) (*config.Config, error) {
	level.Info(logger).Log("msg", "demo: a simulated company, no account and no file needed",
		"time_there", time.Now().In(d.cfg.Attendance.TimeZone).Format("15:04"), "time_zone", d.cfg.Attendance.TimeZone, "look_at", d.look)
	return d.cfg, nil
}
