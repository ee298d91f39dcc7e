package pages

import "strings"

// maxAgent bounds how much of a User-Agent is looked at.
const maxAgent = 512

// The families, the narrower first: nearly every browser also names those that
// it descends from.
var (
	browsers = [...][2]string{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Chromium/", "Chromium"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"Go-http-client/", "Go"},
	}
	systems = [...][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Macintosh", "macOS"},
		{"Linux", "Linux"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"},
	}
)

// Device tells from a User-Agent which browser and which system it names, ""
// where it names none of the usual. It returns words of its own lists only:
// what a client sends never stands on a page.
func Device(agent string) (browser, system string) {
	agent = agent[:min(len(agent), maxAgent)]
	return first(browsers[:], agent), first(systems[:], agent)
}

func first(list [][2]string, agent string) string {
	for _, e := range list {
		if strings.Contains(agent, e[0]) {
			return e[1]
		}
	}
	return ""
}
