/* Browsers start no worker for a page opened from disk. There the search runs in a hidden frame that answers like one. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.addEventListener("load", () => this.start(frame.contentWindow, url), { once: true });
      frame.srcdoc = "<!doctype html><title>search</title>";
      (document.body ?? document.documentElement).append(frame);
    }
    start(inside, url) {
      const script = (address) => new Promise((done, failed) => {
        const element = inside.document.createElement("script");
        element.src = new URL(address, document.baseURI);
        element.onload = done;
        element.onerror = failed;
        inside.document.head.append(element);
      });
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...addresses) => addresses.reduce((before, one) => before.then(() => script(one)), Promise.resolve());
      script(url).then(() => {
        this.inside = inside;
        for (const data of this.waiting) this.postMessage(data);
      });
    }
    postMessage(data) {
      if (this.inside) this.inside.dispatchEvent(new MessageEvent("message", { data }));
      else this.waiting.push(data);
    }
    terminate() {}
  };
}
