// Keeps the page for use without a connection, where it was written by `dspkd web` and came by https or from this machine.

const READY = "This page is kept on this device, and works without a connection.";
const NEWER = "A newer version of this page is ready: close all of its windows, then open it again.";

/** Register the service worker; `say` is called with a line when the page is kept, or when a newer version waits. */
export async function keepForOffline(say) {
  if (!document.querySelector("link[rel=manifest]") || !("serviceWorker" in navigator)) return;
  const registration = await navigator.serviceWorker.register("service-worker.js");
  const follow = (worker) =>
    worker?.addEventListener("statechange", () => {
      if (worker.state === "installed" && navigator.serviceWorker.controller) say(NEWER);
      if (worker.state === "activated") say(READY);
    });
  if (registration.waiting) return say(NEWER);
  if (registration.active) say(READY);
  follow(registration.installing);
  registration.addEventListener("updatefound", () => follow(registration.installing));
}
