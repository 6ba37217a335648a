package deploy

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

// loadCompose reads the files of deploy/compose with an environment.
func loadCompose(t *testing.T, env []string, files ...string) *types.Project {
	t.Helper()
	for i := range files {
		files[i] = filepath.Join(repository, "deploy/compose", files[i])
	}
	options, err := cli.NewProjectOptions(files, cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// mounted puts what a service mounts below a new root.
func mounted(t *testing.T, s types.ServiceConfig) string {
	t.Helper()
	root := t.TempDir()
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind {
			if !v.ReadOnly {
				t.Errorf("%s: %s is not read only", s.Name, v.Target)
			}
			place(t, root, v.Target, v.Source, nil)
		}
	}
	return root
}

func TestComposeImages(t *testing.T) {
	const prefix = "mirror.example/"
	project := loadCompose(t, []string{"IMAGE_PREFIX=" + prefix, "GOPROXY=https://proxy.example"}, "compose.yml")
	for name, s := range project.Services {
		if name == "exporter" {
			if args := s.Build.Args; args["IMAGE_PREFIX"] == nil || *args["IMAGE_PREFIX"] != prefix || args["GOPROXY"] == nil {
				t.Errorf("exporter: build arguments %v, want IMAGE_PREFIX and GOPROXY", args)
			}
			if _, err := os.Stat(filepath.Join(s.Build.Context, "Dockerfile")); err != nil {
				t.Error(err)
			}
			continue
		}
		if !strings.HasPrefix(s.Image, prefix) || !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s, want IMAGE_PREFIX, and a tag that is a whole version", name, s.Image)
		}
	}
	// The versions that the end-to-end test runs.
	prometheus := strings.Split(moduleVersion(t, ".ci/tools/go.mod", "github.com/prometheus/prometheus"), ".")
	minor, err := strconv.Atoi(prometheus[1])
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"prometheus":   "prom/prometheus:v" + strconv.Itoa(minor/100) + "." + strconv.Itoa(minor%100) + "." + prometheus[2],
		"alertmanager": "prom/alertmanager:" + moduleVersion(t, ".ci/tools/go.mod", "github.com/prometheus/alertmanager"),
	} {
		if got := strings.TrimPrefix(project.Services[name].Image, prefix); got != want {
			t.Errorf("%s: image %s, want that of .ci/tools/go.mod, %s", name, got, want)
		}
	}
}

func TestComposeExporter(t *testing.T) {
	demo := loadCompose(t, nil, "compose.yml").Services["exporter"]
	checkConfig(t, t.TempDir(), demo.Command)

	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	secret := filepath.Join(dir, "app_secret")
	for _, file := range []string{config, secret} {
		if err := os.WriteFile(file, []byte("feishu:\n  app_id: cli_a1b2c3d4\n  app_secret_file: /run/secrets/app_secret\nattendance:\n  users: [abd754f7]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	project := loadCompose(t, []string{"FEISHU_CONFIG=" + config, "FEISHU_SECRET_FILE=" + secret}, "compose.yml", "tenant.yml")
	tenant := project.Services["exporter"]
	if slices.Contains(tenant.Command, "--demo") {
		t.Error("tenant.yml leaves the demo running")
	}
	if got := project.Secrets[tenant.Secrets[0].Source].File; got != secret {
		t.Errorf("the secret is %s, want FEISHU_SECRET_FILE", got)
	}
	root := t.TempDir()
	for _, v := range tenant.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		data, err := os.ReadFile(v.Source)
		if err != nil {
			t.Fatal(err)
		}
		placeConfig(t, root, v.Target, "/run/secrets/"+tenant.Secrets[0].Source, data)
	}
	checkConfig(t, root, tenant.Command)
	i := slices.IndexFunc(tenant.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Type == types.VolumeTypeVolume })
	if i < 0 || !slices.ContainsFunc(tenant.Command, func(f string) bool { return strings.HasPrefix(f, "--state.file="+tenant.Volumes[i].Target+"/") }) {
		t.Errorf("the state of %v is on none of the volumes %v", tenant.Command, tenant.Volumes)
	}
}

func TestComposePrometheus(t *testing.T) {
	project := loadCompose(t, nil, "compose.yml")
	root := mounted(t, project.Services["prometheus"])
	file := filepath.Join(root, "etc/prometheus/prometheus.yml") // the image's default
	run(t, tool(t, "promtool"), "check", "config", file)

	var config struct {
		RuleFiles []string `json:"rule_files"`
		Alerting  struct {
			Alertmanagers []staticTargets `json:"alertmanagers"`
		}
		ScrapeConfigs []staticTargets `json:"scrape_configs"`
	}
	readYAML(t, file, &config)
	if len(config.RuleFiles) == 0 {
		t.Error("no rules are loaded")
	}
	if len(config.ScrapeConfigs) != 1 || len(config.Alerting.Alertmanagers) != 1 {
		t.Fatalf("want one job and one Alertmanager: %+v", config)
	}
	for _, target := range append(config.ScrapeConfigs, config.Alerting.Alertmanagers...) {
		for _, static := range target.StaticConfigs {
			for _, address := range static.Targets {
				reachable(t, project, address)
			}
		}
	}
	rules, err := os.ReadFile(filepath.Join(root, "etc/prometheus", config.RuleFiles[0]))
	if err != nil {
		t.Fatal(err)
	}
	if job := config.ScrapeConfigs[0].JobName; !strings.Contains(string(rules), `job="`+job+`"`) {
		t.Errorf("the rules do not know the job %q", job)
	}
}

func TestComposeAlertmanager(t *testing.T) {
	root := mounted(t, loadCompose(t, nil, "compose.yml").Services["alertmanager"])
	file := filepath.Join(root, "etc/alertmanager/alertmanager.yml") // the image's default
	run(t, tool(t, "amtool"), "check-config", file)

	// amtool does not miss a template.
	var config struct{ Templates []string }
	readYAML(t, file, &config)
	if len(config.Templates) == 0 {
		t.Error("there is no template of the cards")
	}
	for _, name := range config.Templates {
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), name)); err != nil {
			t.Error(err)
		}
	}
}

func TestComposeGrafana(t *testing.T) {
	project := loadCompose(t, nil, "compose.yml")
	grafana := project.Services["grafana"]
	root := mounted(t, grafana)

	var datasources struct {
		Datasources []struct{ URL string }
	}
	readYAML(t, filepath.Join(root, "etc/grafana/provisioning/datasources/prometheus.yml"), &datasources)
	for _, d := range datasources.Datasources {
		u, err := url.Parse(d.URL)
		if err != nil {
			t.Fatal(err)
		}
		reachable(t, project, u.Host)
	}

	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, filepath.Join(root, "etc/grafana/provisioning/dashboards/feishu-attendance.yml"), &providers)
	if len(datasources.Datasources) != 1 || len(providers.Providers) != 1 {
		t.Fatalf("want one data source and one provider of dashboards: %+v, %+v", datasources, providers)
	}
	path := providers.Providers[0].Options.Path
	found, err := filepath.Glob(filepath.Join(root, path, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Errorf("no dashboard is mounted at %s", path)
	}
	home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if home == nil {
		t.Fatal("no dashboard is the home page")
	}
	if _, err := os.Stat(filepath.Join(root, *home)); err != nil {
		t.Error(err)
	}
}

type staticTargets struct {
	JobName       string `json:"job_name"`
	StaticConfigs []struct {
		Targets []string
	} `json:"static_configs"`
}

// reachable checks that an address is a service and the port that it publishes.
func reachable(t *testing.T, project *types.Project, address string) {
	t.Helper()
	host, port, _ := strings.Cut(address, ":")
	s, ok := project.Services[host]
	if !ok {
		t.Errorf("%s: no service is called %s", address, host)
		return
	}
	if !slices.ContainsFunc(s.Ports, func(p types.ServicePortConfig) bool {
		return strconv.Itoa(int(p.Target)) == port && p.HostIP == "127.0.0.1"
	}) {
		t.Errorf("%s: %s does not publish %s on the loopback address", address, host, port)
	}
}

func readYAML(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
