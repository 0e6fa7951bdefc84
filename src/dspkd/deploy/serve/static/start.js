// Says why the page does not start. No module, since those do not load from a file: address.

(() => {
  const show = (text) => {
    if (document.readyState === "loading") return addEventListener("DOMContentLoaded", () => show(text));
    const place = document.getElementById("start");
    if (place) Object.assign(place, { textContent: text, className: "wide error now" });
  };
  if (location.protocol === "file:") {
    show(
      "This page was opened as a file, and browsers load nothing for such a page. Serve its folder by a web server; for a try: " +
        "python -m http.server --directory FOLDER, then open localhost:8000.",
    );
    return;
  }
  addEventListener(
    "error",
    async (event) => {
      if (event.target.tagName !== "SCRIPT") return;
      const sent = "Its scripts did not load; the web server must send .js files of the folder static as text/javascript.";
      try {
        const response = await fetch(event.target.src);
        const type = response.headers.get("content-type") || "no content type";
        if (!response.ok) show(`The page cannot start: ${event.target.src} could not be loaded (${response.status}).`);
        else if (type.startsWith("text/html")) show("The page cannot start: the web server sent a web page in place of a script, perhaps a login. Log in, then load this page again.");
        else if (!/javascript|ecmascript/.test(type)) show(`The page cannot start: the web server sends .js files as ${type}; set it to send them as text/javascript.`);
        else show(`The page cannot start. ${sent}`);
      } catch {
        show(`The page cannot start: there is no connection to ${location.host}, or it requires a login first. Load the page again.`);
      }
    },
    true,
  );
})();
