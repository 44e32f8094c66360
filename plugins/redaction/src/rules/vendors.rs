//! Providers whose secrets have no shape of their own: a name with one of these and a long
//! random value. A `_` at a word's end keeps it from being a part of ordinary words.

/// Separated by blanks.
pub const VENDORS: &str = "\
    abbysale abstract_ abstractapi abuseipdb accelo accuweather activecampaign acuity adafruit adobe \
    adyen affinity aftership agentops agora aha_ ahrefs ai21 aikido airbrake airbyte airtable airvisual \
    airwallex aiven akamai akeneo akeyless alchemy alegra algolia algorand alibaba alienvault aliyun \
    allegro alpaca alphavantage amadeus amocrm amplitude ankr anthropic anypoint anyscale apacta apideck \
    apiflash apify apigee apilayer apininjas apitemplate apollo appcenter appdynamics appfollow \
    applitools appoptics appsflyer appsignal appveyor appwrite aqicn arcgis argocd arize artifactory \
    artsy asana asksage assembla assemblyai astra astronomer atera atlassian auth0 authorizenet authress \
    authy autodesk autopilot autotask avalara avatax aweber axiom axonaut aylien azure backblaze \
    backendless baichuan bamboohr bambora bandsintown bandwidth bannerbear baremetrics basecamp baseten \
    bazaarvoice beamer beehiiv bento besttime betterstack betteruptime bigcommerce bigquery billcom \
    billomat binance bingmaps bitbar bitbucket bitcoin bitdefender bitfinex bitgo bitly bitmex bitrise \
    bittrex bitwarden blackbaud blazemeter blockcypher blockfrost blogger bluesnap blynk bombbomb \
    bonusly boomi boostnote borgbase box_ boxapi brainshop braintree branchio brandfetch braze brevo \
    brightcove brightdata browserbase browserless browserstack bugsnag buildkite bunny burpsuite bybit \
    bynder caflou cal_com calendarific calendly callrail campaignmonitor campfire cannyio canva \
    capsulecrm captaindata cargurus cartesia cashfree caspio census_ censys cerebras chargebee chargify \
    chartmogul chatbase chatbot chatgpt checkmarx checkout checkr_ chroma_ chromatic circleci cisco \
    civitai clarifai claude clearbit clerk clickatell clickhouse clicksend clickup clio clockify clojars \
    cloudamqp cloudant cloudbees cloudconvert cloudelements cloudflare cloudinary cloudmersive \
    cloudsight cloudsmith cloudways cloverly clubhouse cobalt cockpit cockroach coda_ codacy codeclimate \
    codecov codefresh codeium codemagic codesandbox cognito cohere coinapi coinbase coincap coindesk \
    coingecko coinigy coinlayer coinmarketcap coinpaprika collibra comet_ commercejs companieshouse \
    companyhub confluence confluent contentful contentstack contribsys convertapi convertio convertkit \
    copper coralogix corellium cosmos couchbase courier_ coveralls coze credly crisp crowdin crowdstrike \
    crunchbase cryptocompare cryptopanic cryptopay currencylayer customerio cyberark cybersource cypress \
    dailyco darksky dashscope databento databox databricks datadog datagov datarobot datastax datocms \
    debounce_ deel deepai deepgram deepl deepseek deezer delighted deliveroo deputy descope detectify \
    devcycle deviantart devops dialogflow dialpad diffbot dify_ digicert digitalocean dinero directus \
    discogs discord disqus dnsimple dockerhub docparser docraptor docsumo docusign doppler dotdigital \
    dovetail draftbit drata dribbble drone dropbox dub_ duffel dune duo_ duosecurity dwolla dynadot \
    dynalist dynatrace dynu e2b_ easypost easyship ebay echosign ecostruxure edamam egnyte eightxeight \
    elastic elasticemail elevenlabs eloqua emailable emailoctopus enablex endor_labs endorlabs engagebay \
    enigma envato envkey epsilon eraser etherscan etoro etsy eventbrite eventgrid everbridge everhour \
    evernote exa_ exact_online exchangerate exoscale exotel expensify facebook faceplusplus facepp fal_ \
    falai fastly fastspring fauna feedbin feedly fibery fieldwire figma figshare filebase filecloud \
    fileio filestack finage fingerprintjs finicity finnhub firebase fireblocks firecrawl fireflies \
    firehydrant fireworks fitbit fivetran fixerio flagsmith flat_io flatfile flatio fleetbase fleetio \
    flickr flightapi flightstats flipside float_ flutterwave fly_io flyio fmfw followupboss formbucket \
    formio formsite formspree formstack fortnox foursquare frameio freecurrency freesound freshbooks \
    freshchat freshdesk freshsales freshservice freshteam front_ ftx fullcontact fullstory fusionauth \
    fxmarket gainsight galileo gate_io gatsby gcore gcp_ geckoboard gelato gemini genesys gengo geoapify \
    geocode geocodify geocodio geoipify geonames getresponse getstream getty ghost_ gigya giphy gitalk \
    gitbook gitea gitee gitguardian github gitlab gitpod gitter gladly glassnode globalping gnews \
    gocardless gocd godaddy gong goodday goodreads google googlemaps gorgias gotify gptzero gradle \
    grafana grafbase graphcms graphhopper graylog greenhouse greynoise gridly grooveshark groq groupme \
    growthbook guardianapi guesty gumroad gupshup gusto gyazo hackerone hackmd harbor harness harvest \
    hashicorp hasura haveibeenpwned heatmap helicone helius hellosign helpscout here_api heroku hetzner \
    hex_pm hexpm heygen hibob highlevel hightouch hipchat hiveage honeybadger honeycomb hootsuite \
    host_io hostaway hostinger hotjar houndify huawei hubspot hubstaff huggingface humanity hume hunter_ \
    hunterio hygraph hyperbolic hypertrack hypothesis ibm_ ibmcloud icims iconfinder idealpostcodes iex_ \
    iexcloud imagekit imagga imgbb imgix imgur import_io incidentio indeed influx infobel infobip \
    infracost infura insightly instagram instamojo instana instantly intercom intruder invision invoiced \
    invoiceocean ionic ipapi ipdata ipgeolocation ipify ipinfo ipstack iterable_ iugu jambonz jellyfin \
    jenkins jfrog jina jira jobber jotform jsonbin jumpcloud juro juspay jwplayer kaggle kagi kakao \
    kaleido kandji keap keen_ keenio keeper kenjo keycloak kickbox kinde kinsta kintone kisi klarna \
    klaviyo klipfolio knock kobotoolbox kong_ konnect kontent koyeb kraken kubernetes kucoin kustomer \
    lacework lago lakera lambda_labs lambdatest langchain langfuse langsmith lastfm lastpass \
    launchdarkly leadfeeder leanix learnworlds lemlist lemonsqueezy lendflow lepton lessonly letta \
    lever_ lexoffice lightspeed lightstep lilt line_channel linear_ linemessaging linkedin linode litmos \
    liveagent liveblocks livechat livekit livestorm lob_ localytics locationiq logdna logentries loggly \
    logrocket logtail logzio lokalise looker loom_ loops_ loqate luma_ lusha magento magicbell \
    mailboxlayer mailboxvalidator mailchimp mailerlite mailersend mailgun mailjet mailmodo mailosaur \
    mailslurp mailtrap manatal mandrill manus mapbox mapillary mapquest maptiler marketo marketstack \
    marqeta mastodon matomo mattermost mautic mavenlink maxmind meaningcloud mediastack mediavalet \
    meilisearch meistertask melissa memberful mend_ meraki mercadopago mercury mergify mesibo \
    messagebird messari metaapi metabase metronome mezmo microsoft microsoftteams midjourney midtrans \
    mindmeister minimax minio mintlify miro misskey mistral mixedbread mixmax mixpanel mlflow mobsf \
    mockaroo modal_ moderation modernmt mollie momento monday moneybird mongodb_atlas mongolab moodle \
    moonpay moonshot moosend mopinion moralis motive mouser mparticle mrticktock msg91 mux_ myfreshworks \
    myintervals myob nasdaq naver neon_ neptune netbox netcore nethunt netlify netsuite neutrino \
    new_relic newrelic newsapi newscatcher nexar nexmo nextcloud nextdns nexudus nfon ngc_ ngrok \
    nightfall nimble ninjarmm nitro nocodb nomic northflank noticeable notion novita novu nowpayments \
    nozbe npm_config ntfy nuget numlookup numverify nutritionix nvidia nylas nytimes oanda octoai \
    octopus odoo okta okx_ ollama omise_ omnisend omnivore onedesk oneflow onelogin onesignal onfido \
    onfleet ongage oopspam openai opencage opengraphr openphone openproject openrouter openrouteservice \
    opensea opensky openuv openweather openwebui opsgenie opsramp optimizely optimove orbit_ ordoro \
    originstamp osano outlook outreach_ outseta overloop ovh_ owlbot oxylabs packagecloud pactflow \
    paddle pagerduty pagseguro pandadoc pandascore paperform papertrail parabola parallel_ paralleldots \
    parsehub parseur particle partnerstack passbase pastebin patreon paychex paycor paymo paypal paypay \
    paystack payu pdflayer pdfshift peakon pendo peopledatalabs peoplehr percona percy perplexity \
    petfinder pexels phabricator phrase_ pinata pinboard pinecone pingdom pingidentity pingone pinterest \
    pipecat pipedream pipedrive pipefy pivotaltracker pixabay plaid plane_ planetscale planhat \
    planning_center planviewleankit planyo plausible plivo ploi plunk pocketbase podio podscan poe_ \
    polar_ poloniex polygon_ polygonscan polymarket portainer portkey positionstack postalytics \
    postbacks postgrid posthog postman postmark postmates powerbi powrbot predicthq prefect prerender \
    printful printnode prismic privacy privy prodigi prodpad productboard productive promptlayer \
    proofpoint propelauth prospect protocolsio proxmox proxycrawl pubmatic pubnub pulumi purelymail \
    purestake pushbullet pushcut pusher pushover pushy qase qdrant qiniu qonto quaderno qualaroo \
    qualtrics qualys quandl quay_ qubole questdb quickbase quickbooks quickmetrics quicknode quip qwen \
    rabbitmq radar_ railway ramp_ rapid7 rapidapi rapyd rawg raygun razorpay reachmail readme_ readmeio \
    rebilly rebrandly recall_ recaptcha recruitee recurly redash reddit redis redmine redpanda refiner \
    remotebg removebg rentman repairshopr replicate reply_io repsona requestbin rescuetime resemble \
    resend restpack restream retellai retool rev_ai revai revamp revenuecat revolut rightsignature \
    ringcentral ringover riot roaring roblox rocketchat rocketlane rocketreach rollbar roninapp rossum \
    route4me rownd rubygems rudderstack runpod runscope runway rytr safetyculture sailpoint sailthru \
    salesblink salesforce salesloft salesmate samsara sanity sapling satismeter sauce savvycal scaleserp \
    scaleway scalingo scraperapi scrapestack scrapfly scrapingbee screenshotapi scrutinizer seatable \
    seatgeek secureframe securitytrails segment_ selectpdf sellsy semaphore semgrep semrush sendbird \
    sendcloud sendgrid sendinblue sendlane sendowl sendpulse sendy sentinelone sentry seqera serpapi \
    serper serpstack servicebus servicem8 servicenow shareasale sharepoint sheety shipbob shipday \
    shipengine shippo shiprocket shipstation shodan shopify shortcut shortio shotstack shutterstock \
    sidekiq signalwire signaturit signnow signoz signupgenius siliconflow simfin similarweb simplelogin \
    simplesat simpletexting simplynoted sinch singlestore singpass sirv sitebuilder skrill skybiometry \
    slack slideroom smartling smartlook smartproxy smartsheet smartystreets smooch smtp2go snaptrade \
    snipcart snowflake snowplow snyk softlayer solcast solscan sonar sonarcloud sonarqube sonatype \
    soundcloud sourcegraph spacelift sparkpost spectralops speechmatics speechtext speedcurve splitio \
    splunk spoonacular sportradar spotify spreedly sproutsocial spryker squadcast square squarespace \
    squareup stability_ stabilityai stackhawk stackoverflow stadia_ starlink statista statsig statuscake \
    statuspage steam stellar_ stepfun stockdata storecove stormboard stormglass storyblok storychief \
    strapi strava streak stream_io streamlabs stripe stripo stytch sugarcrm sugester sumologic sumsub \
    sumup supabase supernotes surge surrealdb surveyanyplace surveybot surveymonkey surveysparrow \
    survicate svix swaggerhub swarmia swell swiftype switchbot symbl synthesia tableau tabnine taiga \
    tailscale talend talkdesk tallyfy tapfiliate tatum tavily tawk taxjar teachable teamcity teamgate \
    teamtailor teamviewer teamwork technicalanalysis telegram teleport telesign teletype telnyx \
    temporal_ tenable tencent tencentcloud tenor terraform testrail textlocal textmagic thanks_io \
    thingsboard thingspeak thinkific thinkst thirdweb thousandeyes threescale ticketmaster tidio tigris \
    tiingo timecamp timescale timezoneapi tinify tink_ tinybird tinypng tmetric todoist together_ai \
    togetherai toggl_ tolgee tomorrowio tomtom torii totango trackjs tradier transifex transloadit \
    travelpayouts traveltime travis travisci tray_ treblle trello trengo tripadvisor truelayer truenas \
    truora trustpilot tumblr turbopuffer turso tuya twelvedata twelvelabs twilio twingate twitch twitter \
    tyntec typeform typesense uber ubidots uclassify unbabel unbounce unifyid unit21 unkey unleash \
    unplugg unsplash untappd upcdatabase upcloud updown upguard uplead uploadcare uploadthing upstash \
    uptimerobot upwave urlscan userflow usersnap userstack uservoice valkey vanta vapi vastai vatlayer \
    vault vectara vellum veracode vercel veriff verifone verimail veriphone verkada viber vidyard \
    viewneo vimeo virtru virustotal visualcrossing visualstudio vk_ voiceflow voicegain voipms \
    volcengine vonage vouchery voyage vpnapi vsts vultr wakatime walkscore wandb warp_ wasabi wave_ \
    weatherbit weatherstack weaviate webex webflow webhookrelay webpurify webscraper weglot wepay \
    wetransfer whatsapp whereby whop whoxy wildapricot wise_ wistia wiz_ wolfram woocommerce woodpecker \
    wordpress workable workato workday workos worksnaps workstack worldpay wrike wufoo xata xendit xero \
    xmatters yammer yandex yapily yelp yext yotpo youneedabudget youtrack youtube zapier zapsign zendesk \
    zenduty zenhub zenkit zenrows zenserp zeplin zerobounce zerossl zerotier zhipu zilliz zipapi \
    zipbooks zipcodeapi ziprecruiter zoho zonkafeedback zoom zulip zuora zyte \
";
